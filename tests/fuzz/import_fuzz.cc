// Credential files: no bytes crash the parser, and what it accepts survives an export.
#include <cstddef>
#include <cstdint>

#include "core/check.h"
#include "server/import/auth_file.h"
#include "server/import/export_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace import = credbroker::import;
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool keys = (data[0] & 1) != 0;
  const import::ParsedFile file =
      import::ParseAuthFile(text, {.provider = keys ? "openai" : "", .key_per_line = keys});
  CB_CHECK(!file.rejection || file.entries.empty());
  for (const import::ParsedEntry& entry : file.entries) {
    CB_CHECK(!entry.rejection || !entry.credential);
    if (!entry.credential) continue;
    const import::ExportedFile out =
        import::ExportCredential(entry.credential->document, {.enabled = true});
    const import::ParsedFile again = import::ParseAuthFile(out.json, {});
    CB_CHECK(again.entries.size() == 1 && again.entries[0].credential);
    CB_CHECK(!again.entries[0].credential->has_secret);
  }
  return 0;
}
