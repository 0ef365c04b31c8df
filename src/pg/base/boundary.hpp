#pragma once

// The only doors between C++ and PostgreSQL. A frame either owns C++ objects or calls PostgreSQL;
// where that cannot hold, Guard() the call. Every function PostgreSQL calls goes through Enter().

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>

#include "tsext/status.hpp"

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// A PostgreSQL error travelling up through C++ frames. It always reaches Enter(), which throws it
/// again.
struct PgError {
  ErrorData *data;
};

/// Calls PostgreSQL from a frame that owns C++ objects: an ereport(ERROR) below becomes a C++
/// exception. Once per batch, not per tuple.
template <typename F>
auto Guard(F &&call) -> decltype(call()) {
  sigjmp_buf *saved_stack = PG_exception_stack;
  ErrorContextCallback *saved_context = error_context_stack;
  MemoryContext saved_memory = CurrentMemoryContext;
  sigjmp_buf here;
  if (sigsetjmp(here, 0) == 0) {
    PG_exception_stack = &here;
    if constexpr (std::is_void_v<decltype(call())>) {
      call();
      PG_exception_stack = saved_stack;
      error_context_stack = saved_context;
      return;
    } else {
      auto result = call();
      PG_exception_stack = saved_stack;
      error_context_stack = saved_context;
      return result;
    }
  }
  PG_exception_stack = saved_stack;
  error_context_stack = saved_context;
  MemoryContextSwitchTo(saved_memory);
  ErrorData *data = CopyErrorData();
  FlushErrorState();
  throw PgError{data};
}

/// Runs the body of a function that PostgreSQL calls: no C++ exception leaves it, each becomes an
/// ereport after all C++ objects of the body are gone.
template <typename F>
auto Enter(F &&body) -> decltype(body()) {
  int sqlstate = ERRCODE_INTERNAL_ERROR;
  char message[512];
  ErrorData *data = nullptr;
  try {
    return body();
  } catch (const PgError &error) {
    data = error.data;
  } catch (const std::bad_alloc &) {
    sqlstate = ERRCODE_OUT_OF_MEMORY;
    strlcpy(message, "out of memory", sizeof message);
  } catch (const std::exception &error) {
    strlcpy(message, error.what(), sizeof message);
  } catch (...) {
    strlcpy(message, "unknown C++ exception", sizeof message);
  }
  if (data != nullptr) ReThrowError(data);
  ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message)));
  pg_unreachable();
}

/// The SQLSTATE that stands for a core status.
inline int SqlState(StatusCode code) {
  switch (code) {
    case StatusCode::kCorrupt:
      return ERRCODE_DATA_CORRUPTED;
    case StatusCode::kUnsupported:
      return ERRCODE_FEATURE_NOT_SUPPORTED;
    case StatusCode::kTooLarge:
      return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
    case StatusCode::kInvalid:
      return ERRCODE_INVALID_PARAMETER_VALUE;
    case StatusCode::kOk:
      break;
  }
  return ERRCODE_INTERNAL_ERROR;
}

/// Raises a failed core status as an error. For callers with nothing better to say: who knows table
/// and column reports them itself.
inline void Check(const Status &status) {
  if (!status.ok())
    ereport(ERROR, (errcode(SqlState(status.code())), errmsg_internal("%s", status.message())));
}

/// The memory seam: core containers allocate from a memory context. Plain old data but for the
/// vtable, so it may live inside the context it serves and needs no destructor.
class ContextResource final : public std::pmr::memory_resource {
 public:
  explicit ContextResource(MemoryContext context) noexcept : context_(context) {}
  MemoryContext context() const noexcept { return context_; }

 private:
  void *do_allocate(size_t bytes, size_t alignment) override {
    // palloc aligns to MAXALIGN (8): over-allocate for more and remember the start in front of the
    // block.
    if (bytes > MaxAllocHugeSize - 128) throw std::bad_alloc();
    if (alignment <= MAXIMUM_ALIGNOF) {
      void *p = MemoryContextAllocExtended(context_, bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
      if (p == nullptr) throw std::bad_alloc();
      return p;
    }
    void *raw = MemoryContextAllocExtended(context_, bytes + alignment + sizeof(void *),
                                           MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
    if (raw == nullptr) throw std::bad_alloc();
    auto at = (reinterpret_cast<uintptr_t>(raw) + sizeof(void *) + alignment - 1) &
              ~uintptr_t(alignment - 1);
    reinterpret_cast<void **>(at)[-1] = raw;
    return reinterpret_cast<void *>(at);
  }
  void do_deallocate(void *p, size_t, size_t alignment) noexcept override {
    pfree(alignment <= MAXIMUM_ALIGNOF ? p : reinterpret_cast<void **>(p)[-1]);
  }
  bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
    return this == &other;
  }

  MemoryContext context_;
};

/// A C++ object owned by a memory context: destroyed when the context is reset or deleted. Its
/// destructor must not call into PostgreSQL except pfree of memory of the same context or a child
/// of it (children are gone by then: use members that allocate from `context` itself).
template <typename T, typename... Args>
T *New(MemoryContext context, Args &&...args) {
  struct Box {
    MemoryContextCallback callback;
    alignas(T) char raw[sizeof(T)];
  };
  static_assert(alignof(T) <= 64);
  void *memory = Guard([&] { return MemoryContextAllocZero(context, sizeof(Box) + 64); });
  memory = reinterpret_cast<void *>((reinterpret_cast<uintptr_t>(memory) + 63) & ~uintptr_t(63));
  auto *box = static_cast<Box *>(memory);
  T *object = new (box->raw) T(std::forward<Args>(args)...);
  box->callback.func = [](void *p) { static_cast<T *>(p)->~T(); };
  box->callback.arg = object;
  MemoryContextRegisterResetCallback(context, &box->callback);
  return object;
}

}  // namespace tsext::pg

/// Declares, exports and wraps a SQL-callable C function: TSEXT_FUNCTION(tsext_name) { …
/// PG_RETURN_…; }
#define TSEXT_FUNCTION(name)                                      \
  extern "C" PGDLLEXPORT Datum name(PG_FUNCTION_ARGS);            \
  extern "C" {                                                    \
  PG_FUNCTION_INFO_V1(name);                                      \
  }                                                               \
  static Datum name##_body(FunctionCallInfo fcinfo);              \
  Datum name(PG_FUNCTION_ARGS) {                                  \
    return tsext::pg::Enter([&] { return name##_body(fcinfo); }); \
  }                                                               \
  static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo)
