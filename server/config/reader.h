// A YAML tree as a message: every key must be a field of the schema, every value of its type.
// Ranges are not looked at.
#ifndef CREDBROKER_SERVER_CONFIG_READER_H_
#define CREDBROKER_SERVER_CONFIG_READER_H_

#include <google/protobuf/message.h>

#include "server/config/problems.h"
#include "server/config/yaml.h"

namespace credbroker::config {

// Fills `message` from the mapping `root`, goes on after a problem, and locates every field.
void ReadMessage(const Node& root, Problems& problems, google::protobuf::Message& message);

}  // namespace credbroker::config

#endif  // CREDBROKER_SERVER_CONFIG_READER_H_
