#include "server/session/fill.h"

#include <google/protobuf/util/json_util.h>

#include "server/rpc/convert.h"
#include "server/rpc/status.h"

namespace credbroker::session {
namespace {

void FillStatus(const grpc::Status& status, google::rpc::Status* out) {
  if (out->ParseFromString(status.error_details()) && out->code() != 0) return;
  out->set_code(static_cast<int>(status.error_code()));
  out->set_message(status.error_message());
}

void SetAttributes(const core::Document& document, v1::SessionCredential* out) {
  if (!document.attributes_json.empty() &&
      !google::protobuf::util::JsonStringToMessage(document.attributes_json.str(),
                                                   out->mutable_attributes())
           .ok()) {
    // What is stored was checked when it came in; if it is no object after all, there are none.
    out->clear_attributes();
  }
  if (document.request_retry.has_value()) {
    (*out->mutable_attributes()->mutable_fields())["request_retry"].set_number_value(
        *document.request_retry);
  }
}

v1::SessionRevocationReason ToProto(core::RevokeReason reason) {
  switch (reason) {
    case core::RevokeReason::kCooling:
      return v1::SESSION_REVOCATION_REASON_COOLING;
    case core::RevokeReason::kDisabled:
      return v1::SESSION_REVOCATION_REASON_DISABLED;
    case core::RevokeReason::kDeleted:
      return v1::SESSION_REVOCATION_REASON_DELETED;
    case core::RevokeReason::kChanged:
      return v1::SESSION_REVOCATION_REASON_CHANGED;
  }
  return v1::SESSION_REVOCATION_REASON_UNSPECIFIED;
}

}  // namespace

size_t SizeOf(const core::Issued& issued) {
  const core::Document& document = *issued.document;
  size_t bytes = 256 + document.id.size() + document.proxy_url.size() + document.base_url.size() +
                 document.attributes_json.size();
  for (const auto& [name, value] : issued.material->headers) bytes += name.size() + value.size();
  return bytes;
}

size_t FillCredential(const core::Issued& issued, uint32_t index, absl::string_view ticket,
                      absl::string_view default_base_url, v1::SessionCredential* out) {
  const core::Document& document = *issued.document;
  out->set_credential(index);
  out->set_credential_id(document.id);
  out->set_credential_uid(rpc::UidText(issued.material->uid));
  out->set_group(document.group);
  out->set_provider(document.provider);
  out->set_kind(rpc::ToProto(document.kind));
  for (const auto& [name, value] : issued.material->headers) {
    v1::Header* header = out->add_request_headers();
    header->set_name(name.data(), name.size());
    header->set_value(value.reveal().data(), value.size());
  }
  out->set_proxy_url(document.proxy_url);
  const absl::string_view base_url =
      document.base_url.empty() ? default_base_url : absl::string_view(document.base_url);
  out->set_base_url(base_url.data(), base_url.size());
  SetAttributes(document, out);
  out->set_material_version(static_cast<int64_t>(issued.material->version));
  if (issued.material->expire_time.has_value()) {
    rpc::SetTime(*issued.material->expire_time, out->mutable_material_expire_time());
  }
  out->set_ticket(ticket.data(), ticket.size());
  out->set_capped(issued.capped);
  return SizeOf(issued);
}

void FillRefusal(const core::RefusalInfo& refusal, absl::Time now, google::rpc::Status* out) {
  FillStatus(rpc::FromRefusal(refusal, now), out);
}

void FillGrant(uint64_t call, const core::AcquireReply& reply, uint32_t index,
               absl::string_view suffix, v1::SessionGrant* out) {
  const core::Grant& grant = reply.grant;
  out->set_call(call);
  out->set_lease(engine::LeaseNumber(grant.seq, grant.cell));
  out->set_credential(index);
  out->set_model(grant.model);
  if (!grant.model.empty()) out->mutable_model()->append(suffix.data(), suffix.size());
  out->set_order(grant.seq.number());
  rpc::SetTime(grant.granted, out->mutable_grant_time());
  rpc::SetTime(grant.expires, out->mutable_expire_time());
  out->set_probe(grant.probe);
  out->set_session_rebound(grant.rebound);
  if (reply.waited > absl::ZeroDuration()) rpc::SetSpan(reply.waited, out->mutable_waited());
}

void FillResult(uint64_t lease, const core::ReportReply& reply, v1::SessionReportResult* out) {
  out->set_lease(lease);
  rpc::FillResult(v1::ReportItem::default_instance(), reply, out->mutable_result());
}

void FillRenewal(uint64_t lease, const core::RenewReply& reply, v1::SessionRenewal* out) {
  out->set_lease(lease);
  switch (reply.result) {
    case core::RenewResult::kRenewed:
      if (reply.at_max) {
        return FillStatus(rpc::Error(v1::ERROR_REASON_LEASE_MAX_AGE,
                                     "the lease lives to its hard maximum already"),
                          out->mutable_refusal());
      }
      return rpc::SetTime(reply.expires, out->mutable_expire_time());
    case core::RenewResult::kNotFound:
      return FillStatus(rpc::Error(v1::ERROR_REASON_NO_SUCH_LEASE,
                                   "no such lease: it ended, expired, or is not this session's"),
                        out->mutable_refusal());
    case core::RenewResult::kDisabled:
      return FillStatus(rpc::Error(v1::ERROR_REASON_CREDENTIAL_DISABLED,
                                   "its credential is disabled; acquire another"),
                        out->mutable_refusal());
  }
}

v1::SessionRevocation ToRevocation(const core::Revoked& revoked, uint32_t index) {
  v1::SessionRevocation out;
  out.set_credential(index);
  out.set_model(revoked.model);
  out.set_covers(revoked.covers.number());
  out.set_reason(ToProto(revoked.reason));
  out.set_cause(rpc::ToProto(revoked.cause));
  if (revoked.until != absl::InfiniteFuture() && revoked.until != absl::InfinitePast()) {
    rpc::SetTime(revoked.until, out.mutable_until());
  }
  return out;
}

bool IsOpen(const engine::IssuedView& view) {
  return view.issued.has_value() && view.issued->material != nullptr &&
         view.state == core::State::kAvailable && !view.half_open;
}

core::Revoked RevokedBy(const engine::IssuedView& view, core::LeaseSeq covers) {
  core::Revoked revoked{.uid = view.uid, .model = "", .covers = covers};
  if (!view.issued.has_value()) {
    revoked.reason = core::RevokeReason::kDeleted;
  } else if (view.state == core::State::kDisabled) {
    revoked.reason = core::RevokeReason::kDisabled;
  }
  revoked.cause = view.cause;
  revoked.until = view.until;
  return revoked;
}

}  // namespace credbroker::session
