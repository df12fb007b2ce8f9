#include "server/store/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace credbroker::store {
namespace {

constexpr absl::string_view kHeader = "credbroker-keyring 1";
constexpr size_t kMaxFileBytes = 64 * 1024;

// Closes on the way out.
struct Descriptor {
  explicit Descriptor(int opened) : fd(opened) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  const int fd;
};

absl::Status CheckFile(int fd, const std::string& path) {
  struct stat info = {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("keyring ", path, " is not a regular file"));
  }
  if (info.st_uid != geteuid() && info.st_uid != 0) {
    return absl::PermissionDeniedError(absl::StrCat("keyring ", path, " belongs to uid ",
                                                    info.st_uid, ", not to us (", geteuid(),
                                                    ") or root"));
  }
  const mode_t mode = info.st_mode & 07777;
  if ((mode & ~mode_t{0400}) != 0) {
    return absl::PermissionDeniedError(
        absl::StrFormat("keyring %s has mode %04o; it must be 0400 (chmod 0400 %s)", path,
                        static_cast<unsigned>(mode), path));
  }
  if (info.st_size > static_cast<off_t>(kMaxFileBytes)) {
    return absl::InvalidArgumentError(absl::StrCat("keyring ", path, " is larger than 64 KiB"));
  }
  return absl::OkStatus();
}

absl::StatusOr<KeyState> StateOf(absl::string_view word) {
  if (word == "active") return KeyState::kActive;
  if (word == "decrypt-only") return KeyState::kDecryptOnly;
  if (word == "derive") return KeyState::kDerive;
  return absl::InvalidArgumentError("the state is not active, decrypt-only or derive");
}

// absl's base64 leaves its own temporaries unwiped, and 44 characters need little code.
absl::StatusOr<core::Secret> DecodeKey(absl::string_view text) {
  unsigned char bytes[48];
  const bool right_size = text.size() == 44;
  const int size = !right_size
                       ? -1
                       : EVP_DecodeBlock(bytes, reinterpret_cast<const unsigned char*>(text.data()),
                                         static_cast<int>(text.size()));
  // 44 characters are 33 bytes, of which '=' makes the last one padding.
  absl::StatusOr<core::Secret> key =
      absl::InvalidArgumentError("the key is not 32 bytes in base64");
  if (size == 33 && text[42] != '=' && text[43] == '=') {
    key = core::Secret(absl::string_view(reinterpret_cast<char*>(bytes), kKeyBytes));
  }
  core::WipeBytes(bytes, sizeof bytes);
  return key;
}

bool FillRandom(void* data, size_t size) {
  return getrandom(data, size, 0) == static_cast<ssize_t>(size);
}

// One line of a new keyring; empty on failure of the random source.
std::string FreshLine(absl::string_view state) {
  KeyId id = 0;
  unsigned char key[kKeyBytes];
  char text[45];
  if (!FillRandom(&id, sizeof id) || !FillRandom(key, sizeof key)) return "";
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text), key, sizeof key);
  const std::string created =
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  std::string line = absl::StrCat(KeyIdText(id), " ", created, " ", state, " ", text, "\n");
  core::WipeBytes(key, sizeof key);
  core::WipeBytes(text, sizeof text);
  return line;
}

absl::Status WriteNew(const std::string& path, absl::string_view text) {
  const auto failed = [&path](absl::string_view what) {
    return absl::UnavailableError(absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
  };
  // The whole file under a name of its own, then linked to the real one: link(2) refuses an
  // existing name and is atomic, so nobody ever reads half a keyring.
  std::string draft = path + ".XXXXXX";
  Descriptor file(mkostemp(draft.data(), O_CLOEXEC));
  if (file.fd < 0) return failed("create a file beside");
  absl::Status status;
  if (fchmod(file.fd, 0400) != 0 ||
      write(file.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fsync(file.fd) != 0) {
    status = failed("write");
  } else if (link(draft.c_str(), path.c_str()) != 0) {
    status = errno == EEXIST
                 ? absl::AlreadyExistsError(absl::StrCat("there is already a file ", path))
                 : failed("create");
  }
  unlink(draft.c_str());
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Descriptor folder_file(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (status.ok() && folder_file.fd >= 0) fsync(folder_file.fd);
  return status;
}

}  // namespace

std::string KeyIdText(KeyId id) { return absl::StrFormat("%016x", id); }

absl::StatusOr<Keyring> Keyring::Load(const std::string& path) {
  // O_NONBLOCK: a FIFO at that path must not hang the start.
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0 && errno == ENOENT) {
    return absl::NotFoundError(
        absl::StrCat("there is no keyring ", path,
                     "; without the one that sealed the store its secrets cannot be opened"));
  }
  if (file.fd < 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot open the keyring ", path, ": ", strerror(errno)));
  }
  absl::Status checked = CheckFile(file.fd, path);
  if (!checked.ok()) return checked;
  core::Secret text = core::Secret::OfSize(kMaxFileBytes);
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(file.fd, text.mutable_data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot read the keyring ", path, ": ", strerror(errno)));
    }
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  return Parse(text.reveal().substr(0, size), path);
}

absl::StatusOr<Keyring> Keyring::Parse(absl::string_view text, absl::string_view origin) {
  Keyring keyring;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    absl::Status status;
    if (number == 1) {
      if (line != kHeader) {
        status = absl::InvalidArgumentError(absl::StrCat("expected '", kHeader, "'"));
      }
    } else if (!line.empty() && line[0] != '#') {
      status = keyring.AddLine(line);
    }
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("keyring ", origin, ", line ", number, ": ", status.message()));
    }
  }
  absl::Status finished = keyring.Finish();
  if (!finished.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("keyring ", origin, ": ", finished.message()));
  }
  return keyring;
}

absl::Status Keyring::AddLine(absl::string_view line) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.size() != 4) {
    return absl::InvalidArgumentError("expected four words: id, created, state, key");
  }
  Key key;
  if (words[0].size() != 16 || !absl::SimpleHexAtoi(words[0], &key.info.id)) {
    return absl::InvalidArgumentError("the id is not 16 hex digits");
  }
  const bool twice = std::any_of(keys_.begin(), keys_.end(),
                                 [&key](const Key& other) { return other.info.id == key.info.id; });
  if (twice) return absl::InvalidArgumentError("the id is there twice");
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, words[1], &key.info.created, &error)) {
    return absl::InvalidArgumentError("the creation time is not in RFC 3339");
  }
  absl::StatusOr<KeyState> state = StateOf(words[2]);
  if (!state.ok()) return state.status();
  key.info.state = *state;
  absl::StatusOr<core::Secret> bytes = DecodeKey(words[3]);
  if (!bytes.ok()) return bytes.status();
  key.bytes = *std::move(bytes);
  keys_.push_back(std::move(key));
  return absl::OkStatus();
}

absl::Status Keyring::Finish() {
  int active = 0;
  int derive = 0;
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i].info.state == KeyState::kActive) {
      ++active;
      active_ = i;
    } else if (keys_[i].info.state == KeyState::kDerive) {
      ++derive;
      derive_ = i;
    }
  }
  if (active != 1) return absl::InvalidArgumentError(absl::StrCat(active, " active keys, not 1"));
  if (derive != 1) return absl::InvalidArgumentError(absl::StrCat(derive, " derive keys, not 1"));
  return absl::OkStatus();
}

const core::Secret* Keyring::Find(KeyId id) const {
  for (const Key& key : keys_) {
    if (key.info.id == id && key.info.state != KeyState::kDerive) return &key.bytes;
  }
  return nullptr;
}

std::vector<KeyInfo> Keyring::List() const {
  std::vector<KeyInfo> list;
  list.reserve(keys_.size());
  for (const Key& key : keys_) list.push_back(key.info);
  return list;
}

core::Secret Keyring::DeriveKey(absl::string_view purpose) const {
  std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr),
                                                        EVP_KDF_free);
  std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(EVP_KDF_CTX_new(kdf.get()),
                                                                    EVP_KDF_CTX_free);
  core::Secret key = keys_[derive_].bytes.Clone();
  std::string info(purpose);
  std::string salt = "credbroker derived keys v1";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>("SHA256"), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.mutable_data(), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end(),
  };
  core::Secret derived = core::Secret::OfSize(kKeyBytes);
  // Fails only if OpenSSL itself is broken or out of memory; a key of zeros would be worse than
  // stopping.
  if (EVP_KDF_derive(context.get(), reinterpret_cast<unsigned char*>(derived.mutable_data()),
                     derived.size(), parameters) != 1) {
    abort();
  }
  return derived;
}

absl::Status InitKeyring(const std::string& path) {
  std::string active = FreshLine("active");
  std::string derive = FreshLine("derive");
  if (active.empty() || derive.empty()) {
    return absl::UnavailableError("the system has no random numbers for a keyring");
  }
  std::string text = absl::StrCat(kHeader, "\n", active, derive);
  absl::Status status = WriteNew(path, text);
  core::WipeString(text);
  core::WipeString(active);
  core::WipeString(derive);
  return status;
}

}  // namespace credbroker::store
