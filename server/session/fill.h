// What the pool answered, as messages of the stream. The one place of this folder, with
// target_table.h, that knows both.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_SERVER_SESSION_FILL_H_
#define CREDBROKER_SERVER_SESSION_FILL_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/change.h"
#include "core/command.h"
#include "credbroker/v1/session.pb.h"
#include "server/engine/engine_sessions.h"

namespace credbroker::session {

// REQUIRES: it has material. Returns about how many bytes that is on the wire.
size_t FillCredential(const core::Issued& issued, uint32_t index, absl::string_view ticket,
                      absl::string_view default_base_url, v1::SessionCredential* out);
size_t SizeOf(const core::Issued& issued);
void FillRefusal(const core::RefusalInfo& refusal, absl::Time now, google::rpc::Status* out);
void FillGrant(uint64_t call, const core::AcquireReply& reply, uint32_t index,
               absl::string_view suffix, v1::SessionGrant* out);
void FillResult(uint64_t lease, const core::ReportReply& reply, v1::SessionReportResult* out);
void FillRenewal(uint64_t lease, const core::RenewReply& reply, v1::SessionRenewal* out);
v1::SessionRevocation ToRevocation(const core::Revoked& revoked, uint32_t index);
// What a credential that is not open any more means for leases up to `covers`; no reason: nothing.
core::Revoked RevokedBy(const engine::IssuedView& view, core::LeaseSeq covers);
bool IsOpen(const engine::IssuedView& view);

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_FILL_H_
