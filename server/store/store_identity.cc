#include "server/store/store_identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace credbroker::store {
namespace {

constexpr char kWord[] = "credbroker-store";
constexpr char kWiped[] = "wiped";
constexpr int kDigitsOfDamage = 2;  // two random ids agree in 30 of 32 digits once in 10^32

std::string FileOf(const std::string& path) { return absl::StrCat(path, ".id"); }

}  // namespace

bool IsStoreId(absl::string_view id) {
  return id.size() == 32 && std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::optional<StoreIdentity> ReadIdentity(const std::string& path) {
  std::ifstream file(FileOf(path));
  std::string word;
  StoreIdentity identity;
  if (!(file >> word >> identity.id >> identity.schema)) return std::nullopt;
  std::string flag;
  identity.free_pages_wiped = file >> flag && flag == kWiped;
  if (word != kWord || !IsStoreId(identity.id) || identity.schema < 1) return std::nullopt;
  return identity;
}

void WriteIdentity(const std::string& path, const StoreIdentity& identity) {
  const std::string made = absl::StrCat(FileOf(path), ".new");
  const std::string text = absl::StrCat(kWord, " ", identity.id, " ", identity.schema,
                                        identity.free_pages_wiped ? " " : "",
                                        identity.free_pages_wiped ? kWiped : "", "\n");
  const int fd = open(made.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool written =
      write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  close(fd);
  if (!written || rename(made.c_str(), FileOf(path).c_str()) != 0) unlink(made.c_str());
}

void RemoveIdentity(const std::string& path) { unlink(FileOf(path).c_str()); }

std::string JudgeStoreId(const std::string& in_file, const std::optional<StoreIdentity>& copy) {
  if (!copy || in_file == copy->id) return in_file;
  if (!IsStoreId(in_file)) return copy->id;
  int apart = 0;
  for (size_t i = 0; i < in_file.size(); ++i) apart += in_file[i] == copy->id[i] ? 0 : 1;
  return apart <= kDigitsOfDamage ? copy->id : in_file;
}

}  // namespace credbroker::store
