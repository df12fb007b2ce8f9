#!lua name=lease
-- The broker's lease logic for one (group, provider) in Redis: round-robin by id over the available
-- credentials, a cap per credential, leases that expire, cooldowns that end. What it leaves out, to its
-- favour: models, probes, priorities, affinity, waiting, rules 1 to 8, history, sealing, principals.
--
-- Keys: avail (sorted set, all scores 0: order of ids), waiting (id by time of return), expiry (lease by
-- time), cursor, next_lease; cred:ID {token, proxy, base, version, in_flight, cap}; lease:N {id, at}.

local function advance(now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'waiting', '-inf', now, 'LIMIT', 0, 4)) do
    redis.call('ZREM', 'waiting', id)
    redis.call('ZADD', 'avail', 0, id)
  end
  for _, lease in ipairs(redis.call('ZRANGEBYSCORE', 'expiry', '-inf', now, 'LIMIT', 0, 4)) do
    local id = redis.call('HGET', 'lease:' .. lease, 'id')
    redis.call('ZREM', 'expiry', lease)
    redis.call('DEL', 'lease:' .. lease)
    if id then redis.call('HINCRBY', 'cred:' .. id, 'in_flight', -1) end
  end
end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

redis.register_function('acquire', function(_, args)
  local now = now_ms()
  advance(now)
  local cursor = redis.call('GET', 'cursor')
  for _ = 1, 4 do
    local found = redis.call('ZRANGEBYLEX', 'avail', cursor and '(' .. cursor or '-', '+', 'LIMIT', 0, 1)
    if #found == 0 and cursor then
      found = redis.call('ZRANGEBYLEX', 'avail', '-', '+', 'LIMIT', 0, 1)
    end
    local id = found[1]
    if not id then
      local next = redis.call('ZRANGE', 'waiting', 0, 0, 'WITHSCORES')
      return redis.error_reply('COOLING ' .. (next[2] or 'inf'))
    end
    cursor = id
    local cred = redis.call('HMGET', 'cred:' .. id, 'token', 'proxy', 'base', 'version', 'in_flight', 'cap')
    local cap = tonumber(cred[6])
    if cap == 0 or tonumber(cred[5]) < cap then
      redis.call('SET', 'cursor', id)
      redis.call('HINCRBY', 'cred:' .. id, 'in_flight', 1)
      local lease = redis.call('INCR', 'next_lease')
      local expires = now + tonumber(args[1])
      redis.call('HSET', 'lease:' .. lease, 'id', id, 'at', now)
      redis.call('ZADD', 'expiry', expires, lease)
      return {tostring(lease), id, cred[1], cred[2], cred[3], cred[4], tostring(expires)}
    end
  end
  return redis.error_reply('BUSY')
end)

redis.register_function('report', function(_, args)
  local now = now_ms()
  advance(now)
  local id = redis.call('HGET', 'lease:' .. args[1], 'id')
  if not id then return {'UNKNOWN'} end
  redis.call('DEL', 'lease:' .. args[1])
  redis.call('ZREM', 'expiry', args[1])
  redis.call('HINCRBY', 'cred:' .. id, 'in_flight', -1)
  if args[2] == '429' then
    redis.call('ZREM', 'avail', id)
    redis.call('ZADD', 'waiting', now + tonumber(args[3]), id)
    return {'ACCEPTED', id, 'WAITING'}
  end
  return {'ACCEPTED', id, 'AVAILABLE'}
end)
