#pragma once

// Lines into tables: finds or makes the table of each measurement and its columns, and stores the
// points of a batch. For tsext.write_lines() and the listeners' workers.

#include <cstdint>
#include <string_view>

#include "tsext/line_protocol.hpp"

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// Why a line was not stored. The first five are the parser's (LineError - 1).
enum class RejectReason : uint8_t {
  kSyntax,
  kRange,
  kEncoding,
  kDuplicateTag,
  kReserved,
  kName,          ///< a name that cannot be a table's or column's
  kTypeConflict,  ///< a value that does not fit its column
  kLimit,         ///< a brake: auto_create, auto_add_columns, max_columns, max_tables
  kPermission,    ///< the role may not insert, create or alter; row security
  kFailed,        ///< a constraint, trigger, time-out or anything else of the table's
};
inline constexpr int kRejectReasonCount = 10;
/// syntax, range, …, type_conflict, limit, permission, failed.
const char *RejectReasonName(RejectReason reason);

struct RouterOptions {
  bool keep_ns = false;  ///< a column time_ns smallint with the nanoseconds that time cannot hold
  bool auto_create = true;
  bool auto_add_columns = true;
  int max_columns = 256;
  int max_tables = 1000;                   ///< in the schema, before no more are made
  int64_t max_series = 0;                  ///< a warning once more are seen; 0 = never
  int lock_timeout_ms = 2000;              ///< of schema changes
  size_t cache_bytes = size_t{128} << 20;  ///< of known series; forgotten all at once beyond it
};

/// Grows over a router's life.
struct RouterStats {
  int64_t lines, stored, rejected[kRejectReasonCount];
  int64_t widened;  ///< integers stored in float columns
  int64_t merged;   ///< points joined to one before of the same series and time
  int64_t tables_created, columns_added;
  int64_t series;            ///< known now
  int64_t cache_resets;      ///< times all were forgotten (DDL, cache_bytes)
  int64_t batches, retries;  ///< retries: batches taken apart to find their bad lines
};

/// A request or datagram, and what became of it.
struct LineRequest {
  std::string_view lines;  ///< stays where it is until RouterWrite returns
  TimePrecision precision = TimePrecision::kNanosecond;
  int64_t receive_time_ns = 0;  ///< the time of lines without one, since 1970; truncated here

  // Set by RouterWrite; lines in = stored + the sum of rejected.
  int64_t stored = 0;
  int64_t rejected[kRejectReasonCount] = {};
  /// Of the rejected lines the one that comes first; message == nullptr: none. Memory: the caller's
  /// current context.
  RejectReason first_reason = RejectReason::kFailed;
  int64_t first_line_number = 0;
  std::string_view first_line;  ///< in `lines`
  const char *first_message = nullptr;

  int64_t RejectedTotal() const {
    int64_t total = 0;
    for (const int64_t count : rejected) total += count;
    return total;
  }
};

/// One rejected line.
struct Rejection {
  int request;            ///< index
  std::string_view line;  ///< whole, in the request's text
  RejectReason reason;
  const char *message;  ///< without the reason's name; good during the call
  bool retry;  ///< not the line's fault (a lock wait timed out): it may be stored when sent again
};

/// Told of every rejected line, once its fate is settled. Must not raise errors.
struct RejectSink {
  void (*take)(void *context, const Rejection &rejection) = nullptr;
  void *context = nullptr;
};

struct Router;

/// A router for one schema and, in effect, one role: what it remembers was looked up as the current
/// user, but rights are asked anew in every batch. Memory in a child of `parent`, which may outlive
/// transactions. The schema is looked up at each write and need not exist yet.
Router *RouterCreate(MemoryContext parent, const char *schema, const RouterOptions &options);
void RouterSetOptions(Router *router, const RouterOptions &options);
const RouterStats *RouterGetStats(const Router *router);
void RouterDestroy(Router *router);

/// Stores the lines of all requests inside the caller's transaction and with the current user's
/// rights; needs a transaction, no snapshot. Lines that fail are found by taking the batch apart in
/// subtransactions, so that they cost no other line anything. Nothing is acknowledged before the
/// caller has committed: at a later failure (a deferred constraint) the caller may write each
/// request in a transaction of its own.
///
/// Errors nobody's line is to blame for (no memory, disk full, cancel, shutdown, read-only
/// transaction, serialization failure, no such schema) are raised: the caller rolls back and tries
/// later. Large texts are worked on in slices of some 50,000 lines or 8 MB.
void RouterWrite(Router *router, LineRequest *requests, int count, const RejectSink &sink);

}  // namespace tsext::pg
