// Rows of the store, past their seal: no bytes crash a decoder, and what one accepts can be written
// and read again. The first byte chooses the kind of record.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "core/check.h"
#include "server/store/record.h"

namespace credbroker::store {
namespace {

void Run(uint8_t kind, absl::string_view bytes) {
  switch (kind % 12) {
    case 0:
      if (const auto entry = DecodeDocument(bytes); entry.ok()) {
        CB_CHECK(DecodeDocument(EncodeDocument(*entry->document, entry->uid, absl::UnixEpoch(),
                                               entry->has_intent))
                     .ok());
      }
      break;
    case 1:
      if (const auto entry = DecodeSecret(bytes); entry.ok()) {
        const core::Secret again = EncodeSecret(*entry->secret, entry->uid, absl::UnixEpoch());
        CB_CHECK(DecodeSecret(again.reveal()).ok());
      }
      break;
    case 2:
      if (const auto entry = DecodeIntent(bytes); entry.ok()) {
        CB_CHECK(DecodeIntent(EncodeIntent(entry->intent, entry->uid)).ok());
      }
      break;
    case 3:
      if (const auto health = DecodeHealth(bytes); health.ok()) {
        CB_CHECK(DecodeHealth(EncodeHealth(**health)).ok());
      }
      break;
    case 4:
      if (const auto backoff = DecodeBackoff(bytes); backoff.ok()) {
        CB_CHECK(DecodeBackoff(EncodeBackoff(*backoff)).ok());
      }
      break;
    case 5:
      if (const auto entry = DecodeHistory(bytes); entry.ok()) {
        CB_CHECK(DecodeHistory(EncodeHistory(entry->line, entry->uid)).ok());
      }
      break;
    case 6:
      if (const auto part = DecodeBatch(bytes); part.ok()) {
        CB_CHECK(DecodeBatch(EncodeBatch(*part)).ok());
      }
      break;
    case 7:
      if (const auto tombstone = DecodeTombstone(bytes); tombstone.ok()) {
        CB_CHECK(DecodeTombstone(EncodeTombstone(*tombstone).reveal()).ok());
      }
      break;
    case 8:
      if (const auto entry = DecodeRequest(bytes); entry.ok()) {
        CB_CHECK(DecodeRequest(EncodeRequest(*entry)).ok());
      }
      break;
    case 9:
      if (const auto token = DecodeSpentToken(bytes); token.ok()) {
        CB_CHECK(DecodeSpentToken(EncodeSpentToken(*token)).ok());
      }
      break;
    case 10:
      if (const auto marker = DecodeLeaseMarker(bytes); marker.ok()) {
        CB_CHECK(DecodeLeaseMarker(EncodeLeaseMarker(*marker)).ok());
      }
      break;
    default:
      (void)DecodeMeta(bytes);
      (void)ParseHistoryKey(bytes);
      break;
  }
}

}  // namespace
}  // namespace credbroker::store

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  credbroker::store::Run(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
