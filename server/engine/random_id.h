// Unguessable names for batches and selections. Thread-safe.
#ifndef CREDBROKER_SERVER_ENGINE_RANDOM_ID_H_
#define CREDBROKER_SERVER_ENGINE_RANDOM_ID_H_

#include <string>

namespace credbroker::engine {

std::string RandomId();  // 128 random bits as 32 lower-case hex digits

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_RANDOM_ID_H_
