#include "pg/ingest/http_query.hpp"

#include <cstring>
#include <deque>
#include <list>
#include <utility>

#include "pg/base/boundary.hpp"
#include "pg/base/clock.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/worker.hpp"
#include "pg/ingest/http_listener.hpp"
#include "pg/ingest/http_text.hpp"
#include "pg/ingest/listener_settings.hpp"

extern "C" {
#include "access/xact.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// Queries that wait for a worker; others are answered 503.
constexpr size_t kMaxWaiting = 100;
// A worker that does not end by itself after its time is ended.
constexpr int kGraceMs = 5000;

struct Query {
  HttpRequest *request;
  QueryTask task;
  std::string text;
  // While it runs.
  dsm_segment *segment = nullptr;
  BackgroundWorkerHandle *worker = nullptr;
  shm_mq_handle *queue = nullptr;
  int64 deadline_us = 0;  // monotonic; 0: none
};

struct Queries {
  std::deque<Query *> waiting;
  std::list<Query *> running;
};

Queries &All() {
  static auto *queries = new Queries;
  return *queries;
}

Epoch ReadEpoch(std::string_view name) {
  if (name.empty() || name == "rfc3339") return Epoch::kRfc3339;
  if (name == "us" || name == "u" || name == "µ" || name == "µs") return Epoch::kMicrosecond;
  if (name == "ms") return Epoch::kMillisecond;
  if (name == "s") return Epoch::kSecond;
  if (name == "m") return Epoch::kMinute;
  if (name == "h") return Epoch::kHour;
  return Epoch::kNanosecond;
}

void Answer(HttpListener *listener, Query *query, HttpResponse response) {
  if (response.status >= 400) listener->counters.Add(kQueryErrors);
  HttpServerAnswer(listener->server, query->request, std::move(response));
}

/// Gives back what a running query holds. Its memory in the server's hands stays.
void Release(Query *query) {
  if (query->queue != nullptr) shm_mq_detach(query->queue);
  if (query->segment != nullptr) dsm_detach(query->segment);
  if (query->worker != nullptr) pfree(query->worker);
  query->segment = nullptr;
  query->worker = nullptr;
  query->queue = nullptr;
}

/// Makes the segment and registers the worker. False: not now.
bool Start(Query *query) {
  shm_toc_estimator estimator;
  shm_toc_initialize_estimator(&estimator);
  shm_toc_estimate_chunk(&estimator, sizeof(QueryTask));
  shm_toc_estimate_chunk(&estimator, query->text.size() + 1);
  shm_toc_estimate_chunk(&estimator, kQueryQueueBytes);
  shm_toc_estimate_keys(&estimator, 3);
  const Size size = shm_toc_estimate(&estimator);
  query->segment = dsm_create(size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
  if (query->segment == nullptr) return false;
  shm_toc *contents = shm_toc_create(kQueryMagic, dsm_segment_address(query->segment), size);
  void *task = shm_toc_allocate(contents, sizeof(QueryTask));
  memcpy(task, &query->task, sizeof(QueryTask));
  shm_toc_insert(contents, kQueryKeyTask, task);
  void *text = shm_toc_allocate(contents, query->text.size() + 1);
  memcpy(text, query->text.c_str(), query->text.size() + 1);
  shm_toc_insert(contents, kQueryKeyText, text);
  shm_mq *queue = shm_mq_create(shm_toc_allocate(contents, kQueryQueueBytes), kQueryQueueBytes);
  shm_toc_insert(contents, kQueryKeyQueue, queue);
  shm_mq_set_receiver(queue, MyProc);

  BackgroundWorker worker = DescribeWorker("tsext_query_worker_main", "tsext HTTP query");
  worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(query->segment));
  query->worker = StartWorker(&worker);
  if (query->worker == nullptr) {
    Release(query);
    return false;
  }
  MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
  query->queue = shm_mq_attach(queue, query->segment, query->worker);
  MemoryContextSwitchTo(caller);
  if (query->task.timeout_ms > 0)
    query->deadline_us =
        MonotonicMicroseconds() + (int64{query->task.timeout_ms} + kGraceMs) * 1000;
  return true;
}

enum class Progress : uint8_t { kRuns, kAnswered, kDied };

/// *answer: the worker's message, in the queue's memory.
Progress Look(Query *query, const char **answer, size_t *size) {
  void *data;
  Size bytes;
  switch (shm_mq_receive(query->queue, &bytes, &data, true)) {
    case SHM_MQ_WOULD_BLOCK:
      return Progress::kRuns;
    case SHM_MQ_SUCCESS:
      if (bytes < sizeof(QueryAnswer)) return Progress::kDied;
      *answer = static_cast<const char *>(data);
      *size = bytes;
      return Progress::kAnswered;
    default:
      return Progress::kDied;
  }
}

HttpResponse AnswerResponse(const Query *query, const char *answer, size_t size) {
  QueryAnswer head;
  memcpy(&head, answer, sizeof head);
  const std::string_view body(answer + sizeof head, size - sizeof head);
  if (head.status >= 400)
    return ErrorResponse(static_cast<unsigned>(head.status), Dialect::kV1, body);
  HttpResponse response;
  response.status = static_cast<unsigned>(head.status);
  response.content_type = query->task.answer == AnswerForm::kCsv ? "text/csv" : "application/json";
  response.body = body;
  return response;
}

/// False: it is still running.
bool Finish(HttpListener *listener, Query *query, int64 now_us) {
  const char *answer = nullptr;
  size_t size = 0;
  switch (Look(query, &answer, &size)) {
    case Progress::kAnswered:
      Answer(listener, query, AnswerResponse(query, answer, size));
      break;
    case Progress::kDied:
      Answer(listener, query,
             ErrorResponse(503, Dialect::kV1, "the query's worker ended without an answer"));
      break;
    case Progress::kRuns:
      if (query->deadline_us == 0 || now_us < query->deadline_us) return false;
      TerminateBackgroundWorker(query->worker);
      Answer(listener, query, ErrorResponse(503, Dialect::kV1, "the query took too long"));
  }
  Release(query);
  delete query;
  return true;
}

void StartWaiting(HttpListener *listener) {
  Queries &all = All();
  while (!all.waiting.empty() && all.running.size() < static_cast<size_t>(http_query_workers)) {
    Query *query = all.waiting.front();
    all.waiting.pop_front();
    if (Start(query)) {
      all.running.push_back(query);
    } else {
      Answer(listener, query,
             ErrorResponse(503, Dialect::kV1,
                           "no background worker is free for the query; see max_worker_processes"));
      delete query;
    }
  }
}

/// What was asked, from the URI, a form or a JSON body.
bool ReadQuestion(const HttpRequest &request, Query *query, HttpArguments *form) {
  *form = request.arguments;
  query->task.form = QueryForm::kText;
  const auto argument = [form](std::string_view name) -> std::string {
    for (const auto &[key, value] : *form) {
      if (key == name) return value;
    }
    return {};
  };
  // A client may call everything JSON, and curl -d '{…}' calls JSON a form.
  const bool is_json = StartsWithIgnoringCase(request.content_type, "application/json") ||
                       (!request.body.empty() && request.body.front() == '{');
  if (is_json && !request.HasArgument("q")) {
    query->task.form = QueryForm::kJson;
    query->text = request.body;
  } else {
    ParseForm(request.body, form);
    query->text = argument("q");
  }
  query->task.epoch = ReadEpoch(argument("epoch"));
  query->task.answer =
      request.accept.find("csv") != std::string::npos ? AnswerForm::kCsv : AnswerForm::kJson;
  return !query->text.empty();
}

std::string FormValue(const HttpArguments &form, std::string_view name) {
  for (const auto &[key, value] : form) {
    if (key == name) return value;
  }
  return {};
}

void FillTask(const HttpListener *, const Access &access, QueryTask *task) {
  task->database = MyDatabaseId;
  task->session_role = GetSessionUserId();
  task->role = access.role;
  strlcpy(task->schema, access.schema, sizeof task->schema);
  strlcpy(task->database_name, listen_database, sizeof task->database_name);
  strlcpy(task->usual_schema, listen_schema, sizeof task->usual_schema);
  task->is_confined = access.is_confined;
  task->may_read = access.may_read;
  task->may_write = access.may_write;
  task->may_create = auto_create;
  task->timeout_ms = http_query_timeout_ms;
  task->max_rows = http_query_rows;
}

}  // namespace

void TakeQuery(HttpListener *listener, HttpRequest *request) {
  auto *query = new Query{request, {}, {}};
  listener->counters.Add(kQueries);
  const auto refuse = [&](HttpResponse response) {
    Answer(listener, query, std::move(response));
    delete query;
  };
  HttpArguments form;
  if (request->method != "POST" && request->method != "GET") {
    HttpResponse response = ErrorResponse(405, Dialect::kV1, "only GET and POST are allowed here");
    response.headers.emplace_back("Allow", "GET, POST");
    refuse(std::move(response));
    return;
  }
  if (!ReadQuestion(*request, query, &form)) {
    refuse(ErrorResponse(400, Dialect::kV1, "missing required parameter \"q\""));
    return;
  }
  request->arguments = std::move(form);  // u and p may stand in a form
  request->body = std::string();
  const std::string database = FormValue(request->arguments, "db");
  Access *access = MakeAccess(listener, *request, database);
  // CREATE DATABASE comes with the database's name as db as well. The worker looks for itself.
  access->needs_schema = false;
  GrantAccess(listener, &access, 1);
  if (access->status != AccessStatus::kGranted) {
    if (access->status != AccessStatus::kUnavailable) listener->counters.Add(kRequestsRefused);
    refuse(AccessResponse(access->status, Dialect::kV1, database));
    return;
  }
  if (All().waiting.size() >= kMaxWaiting) {
    refuse(ErrorResponse(503, Dialect::kV1, "too many queries are waiting"));
    return;
  }
  FillTask(listener, *access, &query->task);
  query->task.text_bytes = query->text.size();
  All().waiting.push_back(query);
}

void RunQueries(HttpListener *listener) {
  Queries &all = All();
  if (!all.running.empty()) {
    const int64 now_us = MonotonicMicroseconds();
    all.running.remove_if([&](Query *query) { return Finish(listener, query, now_us); });
  }
  StartWaiting(listener);
}

void ForgetQueries() {
  Queries &all = All();
  for (Query *query : all.running) {
    TerminateBackgroundWorker(query->worker);
    Release(query);
    delete query;
  }
  for (Query *query : all.waiting) delete query;
  all.running.clear();
  all.waiting.clear();
}

long MillisecondsToQueries() {
  long next = -1;
  const int64 now_us = MonotonicMicroseconds();
  for (const Query *query : All().running) {
    if (query->deadline_us == 0) continue;
    const long left = Max((query->deadline_us - now_us) / 1000, 0) + 1;
    if (next < 0 || left < next) next = left;
  }
  return next;
}

}  // namespace tsext::pg
