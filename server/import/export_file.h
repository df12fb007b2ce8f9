// The way back: a credential as the file it came from, without its secrets.
//
// Pure functions; thread-safe.
#ifndef CREDBROKER_SERVER_IMPORT_EXPORT_FILE_H_
#define CREDBROKER_SERVER_IMPORT_EXPORT_FILE_H_

#include <string>

#include "core/credential.h"

namespace credbroker::import {

struct ExportedFile {
  std::string relative_path;  // the id without its source, with ".json"
  std::string json;           // one JSON object, UTF-8, indented by two spaces
};

// Keys as AUTH_FILES spells them (kebab-case spellings come back as snake_case), unknown keys as
// they were, fields at their default left out. `disabled` tells the operator's intent now.
// Importing the result gives the same document.
ExportedFile ExportCredential(const core::Document& document, const core::Intent& intent);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_EXPORT_FILE_H_
