#pragma once

// A query over HTTP on its way from the listener to a background worker and back. The worker gets a
// dynamic shared memory segment: a QueryTask, the text, and a queue for the answer, which is one
// message: a QueryAnswer and the body.

#include "pg/base/postgres.hpp"

extern "C" {
#include "lib/stringinfo.h"
}

namespace tsext::pg {

enum class QueryForm : uint8_t { kText, kJson };
enum class AnswerForm : uint8_t { kJson, kCsv };

/// Unit of times in the answer; kRfc3339 as text.
enum class Epoch : uint8_t {
  kRfc3339,
  kNanosecond,
  kMicrosecond,
  kMillisecond,
  kSecond,
  kMinute,
  kHour
};

struct QueryTask {
  Oid database, session_role;
  Oid role;  // InvalidOid: the session's
  char schema[NAMEDATALEN];
  char database_name[NAMEDATALEN];  // names tsext.listen_schema as well
  char usual_schema[NAMEDATALEN];   // what database_name stands for
  bool is_confined;                 // to `schema`
  bool may_read, may_write;
  bool may_create;  // schemas, by tsext.auto_create
  QueryForm form;
  AnswerForm answer;
  Epoch epoch;
  int timeout_ms, max_rows;
  size_t text_bytes;  // without the NUL behind
};

struct QueryAnswer {
  int status;  // of HTTP
};

// Keys in the segment's table of contents.
inline constexpr uint64 kQueryMagic = 0x7473657874717279;
inline constexpr uint64 kQueryKeyTask = 1, kQueryKeyText = 2, kQueryKeyQueue = 3;
inline constexpr size_t kQueryQueueBytes = 256 * 1024;
// Of an answer.
inline constexpr size_t kQueryMaxBytes = size_t{256} * 1024 * 1024;

/// What a query came to; memory of the transaction's caller.
struct QueryResult {
  int status;
  StringInfoData body;
};

/// Runs a task in the current process, in a transaction of its own (http_query_run.cpp).
void RunQueryTask(const QueryTask *task, const char *text, QueryResult *result);

}  // namespace tsext::pg

extern "C" {
PGDLLEXPORT void tsext_query_worker_main(Datum argument);
}
