// The store's mutex, by the engine's name.
#ifndef CREDBROKER_SERVER_ENGINE_MUTEX_H_
#define CREDBROKER_SERVER_ENGINE_MUTEX_H_

#include "server/store/mutex.h"

namespace credbroker::engine {

using store::CondVar;
using store::Mutex;
using store::MutexLock;

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_MUTEX_H_
