-- Reports what became of a leased call to the sidecar, when the answer's body has passed. A call that
-- Envoy cuts before (a client that leaves, an upstream that breaks off) is not seen here: its lease
-- ends with the route's ttl.
local limits = {
  "retry-after", "retry-after-ms",
  "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
  "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
  "anthropic-ratelimit-unified-status", "anthropic-ratelimit-unified-reset",
  "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset",
  "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset",
}

-- What may stand in a JSON string as it is; limits are numbers, dates and words.
local function plain(text)
  return (text:gsub("[^%w%-%._:+, ]", ""))
end

-- The body of POST /report.
function report_body(lease, status, from_upstream, header)
  local parts = {}
  for _, name in ipairs(limits) do
    local value = header(name)
    if value then parts[#parts + 1] = '"' .. name .. '":"' .. plain(value) .. '"' end
  end
  -- An answer of Envoy's own: the upstream gave none.
  local what = from_upstream and '"status":' .. tonumber(status) or '"network_error":"reset"'
  return '{"lease":"' .. plain(lease) .. '",' .. what .. ',"headers":{' .. table.concat(parts, ",") .. "}}"
end

function envoy_on_response(handle)
  local granted = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.ext_authz")
  local lease = granted and granted["x-credbroker-lease"]
  if not lease then return end
  local headers = handle:headers()
  local body = report_body(lease, headers:get(":status"),
    headers:get("x-envoy-upstream-service-time") ~= nil,
    function(name) return headers:get(name) end)
  for _ in handle:bodyChunks() do end
  handle:httpCall("credbroker_sidecar", {
    [":method"] = "POST", [":path"] = "/report", [":authority"] = "credbroker",
    ["content-type"] = "application/json",
  }, body, 1000, true)
end
