// PATH.id: a second copy of what a store's file says of itself, its id and its schema. The id is
// part of every seal, so without it the whole store would be lost with one page.
//
// Losing the file costs nothing while the store is sound: it is written anew. Thread-safety:
// stateless; whoever holds the store's lock uses it.
#ifndef CREDBROKER_SERVER_STORE_STORE_IDENTITY_H_
#define CREDBROKER_SERVER_STORE_STORE_IDENTITY_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace credbroker::store {

struct StoreIdentity {
  std::string id;                 // 32 lower-case hex digits
  int schema = 0;                 // of the last program that opened it
  bool free_pages_wiped = false;  // since it was made: no page holds what was deleted
  friend bool operator==(const StoreIdentity&, const StoreIdentity&) = default;
};

bool IsStoreId(absl::string_view id);

// Of the store at `path`; nothing: there is none, or it is no such file.
std::optional<StoreIdentity> ReadIdentity(const std::string& path);

// Best effort, it is a copy: a full disk must not stop a server.
void WriteIdentity(const std::string& path, const StoreIdentity& identity);
void RemoveIdentity(const std::string& path);

// The id a store has if its file says `in_file` and the copy says `copy`. A few digits apart, or no
// id at all: the file is damaged and the copy is right. Any other id: another store was put in its
// place on purpose.
std::string JudgeStoreId(const std::string& in_file, const std::optional<StoreIdentity>& copy);

}  // namespace credbroker::store

#endif  // CREDBROKER_SERVER_STORE_STORE_IDENTITY_H_
