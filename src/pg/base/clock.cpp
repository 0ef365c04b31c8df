#include "pg/base/clock.hpp"

#include <ctime>

extern "C" {
#include "datatype/timestamp.h"
}

namespace tsext::pg {

int64 MonotonicMicroseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

}  // namespace tsext::pg
