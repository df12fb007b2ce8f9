#include <algorithm>

#include "core/model_rules.h"
#include "server/rpc/convert.h"
#include "server/rpc/convert_attributes.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {

AcquireArguments::AcquireArguments(const v1::AcquireRequest& request, absl::string_view principal,
                                   absl::Duration longest_wait) {
  command_.principal = principal;
  command_.group = request.group();
  providers_.assign(request.providers().begin(), request.providers().end());
  command_.providers = providers_;
  command_.model = request.model();
  command_.session_key = request.session_key();
  command_.credential_id = request.credential_id();
  excluded_.assign(request.excluded_credential_ids().begin(),
                   request.excluded_credential_ids().end());
  command_.excluded = excluded_;
  command_.kind = ToKind(request.kind());
  for (const auto& [key, value] : request.labels()) labels_.emplace_back(key, value);
  // A map has no order; the command of a repeated request_id must compare equal.
  std::sort(labels_.begin(), labels_.end());
  command_.labels = labels_;
  command_.request_id = request.request_id();
  if (request.has_ttl()) command_.ttl = ToDuration(request.ttl());
  if (request.has_max_wait()) {
    command_.max_wait =
        std::max(absl::ZeroDuration(), std::min(ToDuration(request.max_wait()), longest_wait));
  }
}

void FillGrant(const v1::AcquireRequest& request, const core::Grant& grant,
               const GrantExtras& extras, v1::Grant* out) {
  const core::Document& document = *grant.document;
  out->set_lease_id(extras.lease_id.data(), extras.lease_id.size());
  out->set_credential_id(document.id);
  out->set_credential_uid(UidText(grant.material->uid));
  out->set_group(document.group);
  out->set_provider(document.provider);
  out->set_kind(ToProto(document.kind));
  std::string* model = out->mutable_model();
  *model = grant.model;
  // The caller's suffix, e.g. "(high)", goes on to the upstream.
  const absl::string_view asked = request.model();
  const absl::string_view canonical = core::CanonicalModel(asked);
  if (!grant.model.empty() && canonical.size() < asked.size()) {
    const auto end = static_cast<size_t>(canonical.data() - asked.data()) + canonical.size();
    const absl::string_view suffix = asked.substr(end);
    model->append(suffix.data(), suffix.size());
  }
  for (const auto& [name, value] : grant.material->headers) {
    v1::Header* header = out->add_request_headers();
    header->set_name(name.data(), name.size());
    header->set_value(value.reveal().data(), value.size());
  }
  out->set_proxy_url(document.proxy_url);
  if (!document.base_url.empty()) {
    out->set_base_url(document.base_url);
  } else {
    out->set_base_url(extras.default_base_url.data(), extras.default_base_url.size());
  }
  if (!document.attributes_json.empty()) {
    // What is stored was checked when it came in; if it is no object after all, there are none.
    ParseAttributes(document.attributes_json, out->mutable_attributes());
  }
  if (document.request_retry.has_value()) {
    (*out->mutable_attributes()->mutable_fields())["request_retry"].set_number_value(
        *document.request_retry);
  }
  out->set_material_version(static_cast<int64_t>(grant.material->version));
  if (grant.material->expire_time.has_value()) {
    SetTime(*grant.material->expire_time, out->mutable_material_expire_time());
  }
  SetTime(grant.expires, out->mutable_expire_time());
  out->set_probe(grant.probe);
  out->set_session_rebound(grant.rebound);
  out->set_epoch(static_cast<int64_t>(extras.epoch));
  if (extras.waited > absl::ZeroDuration()) SetSpan(extras.waited, out->mutable_waited());
  out->set_request_id(request.request_id());
}

HeaderList ToHeaders(const google::protobuf::RepeatedPtrField<v1::Header>& headers) {
  HeaderList list;
  list.reserve(static_cast<size_t>(headers.size()));
  for (const v1::Header& header : headers) list.emplace_back(header.name(), header.value());
  return list;
}

engine::ReportItem ToReportItem(const v1::ReportItem& item, const HeaderList& headers) {
  engine::ReportItem out;
  out.lease_id = item.lease_id();
  out.facts.stated = ToOutcome(item.outcome());
  out.facts.http_status = item.http_status();
  out.facts.error_code = item.error_code();
  out.facts.body = item.body_excerpt();
  out.facts.headers = headers;
  out.early = item.early();
  out.material_version = static_cast<uint64_t>(item.material_version());
  if (item.has_event_time()) out.happened = ToTime(item.event_time());
  return out;
}

void FillResult(const v1::ReportItem& item, const core::ReportReply& reply, v1::ReportResult* out) {
  out->set_lease_id(item.lease_id());
  out->set_disposition(ToProto(reply.disposition));
  if (reply.disposition == core::Disposition::kUnknown) return;
  out->set_advice(ToProto(reply.advice));
  out->set_state(ToProto(reply.state));
  if (reply.state == core::State::kWaiting) {
    SetTime(reply.next_recover, out->mutable_next_recover_time());
  }
  out->set_outcome(ToProto(reply.outcome));
  out->set_cause(ToProto(reply.cause));
  out->set_credential_id(reply.document->id);
}

}  // namespace credbroker::rpc
