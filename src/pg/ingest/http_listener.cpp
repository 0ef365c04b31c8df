#include "pg/ingest/http_listener.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "pg/base/boundary.hpp"
#include "pg/base/transaction.hpp"
#include "pg/ingest/http_text.hpp"
#include "pg/ingest/listener_settings.hpp"
#include "pg/ingest/listener_workers.hpp"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

constexpr long kReopenMs = 5000;
// A round takes at most so many new requests before it stores; others wait in the server.
constexpr int kRequestsARound = 10000;

/// What the socket was opened with.
struct Opened {
  char address[64];
  char bound[64];
  int connections, header_kb;
  bool external, is_loopback;
  WaitEventSet *events;  // nullptr: no socket
};

HttpLimits Limits() {
  HttpLimits limits;
  limits.connections = static_cast<unsigned>(http_max_connections);
  limits.header_bytes = size_t{1024} * http_max_header_kb;
  limits.body_bytes = size_t{1024} * http_max_body_kb;
  limits.buffered_bytes = size_t{1024} * http_buffer_kb;
  limits.request_ms = int64_t{1000} * http_request_timeout_s;
  limits.idle_ms = int64_t{1000} * http_idle_timeout_s;
  return limits;
}

/// Descriptors for all connections beside the server's own files.
void RaiseDescriptorLimit(unsigned connections) {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = connections + static_cast<rlim_t>(max_files_per_process) + 100;
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void DecideAuth(HttpListener *listener, const Opened &opened) {
  listener->needs_token = http_auth == static_cast<int>(HttpAuth::kOn) ||
                          (http_auth == static_cast<int>(HttpAuth::kAuto) && !opened.is_loopback);
}

HttpServer *StartServer(int descriptor, char *error, size_t error_size) {
  std::string text;
  HttpServer *server = HttpServerStart(
      descriptor, Limits(),
      {{"X-Influxdb-Version", "1.8-tsext-" TSEXT_VERSION}, {"X-Influxdb-Build", "tsext"}}, &text);
  strlcpy(error, text.c_str(), error_size);
  return server;
}

void OpenSocket(HttpListener *listener, Opened *opened) {
  const int descriptor =
      OpenListenSocket(http_listen, SOCK_STREAM, "tsext.http_listen", opened->bound,
                       sizeof opened->bound, &opened->is_loopback);
  strlcpy(opened->address, http_listen, sizeof opened->address);
  opened->connections = http_max_connections;
  opened->header_kb = http_max_header_kb;
  opened->external = listen_external;
  if (descriptor < 0) {
    ShowListenerState("", "could not listen; see the server's log");
    return;
  }
  RaiseDescriptorLimit(static_cast<unsigned>(http_max_connections));
  char error[128];
  listener->server = StartServer(descriptor, error, sizeof error);
  if (listener->server == nullptr) {
    close(descriptor);
    ereport(LOG, (errmsg("could not start the HTTP server: %s", error)));
    ShowListenerState("", "could not start; see the server's log");
    return;
  }
  DecideAuth(listener, *opened);
  opened->events = CreateWaitEventSet(TopMemoryContext, 3);
  AddWaitEventToSet(opened->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
  AddWaitEventToSet(opened->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
  AddWaitEventToSet(opened->events, WL_SOCKET_READABLE, HttpServerPollDescriptor(listener->server),
                    nullptr, nullptr);
  ShowListenerState(opened->bound, "listening");
  ereport(LOG, (errmsg("tsext listens for HTTP on %s", opened->bound)));
}

void CloseSocket(HttpListener *listener, Opened *opened) {
  if (opened->events == nullptr) return;
  FreeWaitEventSet(opened->events);
  opened->events = nullptr;
  ForgetQueries();
  HttpServerStop(listener->server);
  listener->server = nullptr;
  ShowListenerState("", "not listening");
}

bool SocketIsAsSet(const Opened &opened) {
  return strcmp(opened.address, http_listen) == 0 && opened.connections == http_max_connections &&
         opened.header_kb == http_max_header_kb && opened.external == listen_external;
}

/// The figures of tsext.stats as text, in the caller's memory.
struct StatsText {
  const char *query;
  MemoryContext memory;
  char *text;
};

constexpr const char *kPrometheusQuery = R"(
SELECT string_agg(part, '' ORDER BY metric) FROM (
  SELECT metric, format(E'# HELP tsext_%s %s\n# TYPE tsext_%s %s\n', metric, min(meaning), metric, min(kind)) ||
    string_agg(format(E'tsext_%s{listener="%s"%s} %s\n', metric, listener, coalesce(',reason="' || reason || '"', ''), value),
               '' ORDER BY listener, reason) AS part
  FROM (SELECT metric || CASE kind WHEN 'counter' THEN '_total' ELSE '' END AS metric, kind, listener, reason, value, meaning
        FROM tsext.stats) s
  GROUP BY metric) m)";

constexpr const char *kJsonQuery = R"(
SELECT json_object_agg(listener, figures)::text FROM (
  SELECT listener, json_object_agg(metric || coalesce('_' || reason, ''), value ORDER BY metric, reason) AS figures
  FROM tsext.stats GROUP BY listener) l)";

void ReadStats(void *state) {
  auto *stats = static_cast<StatsText *>(state);
  if (!ExtensionExists()) return;
  XactReadOnly = true;
  SPI_connect();
  if (SPI_execute(stats->query, true, 1) != SPI_OK_SELECT || SPI_processed != 1) return;
  const char *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
  if (value != nullptr) stats->text = MemoryContextStrdup(stats->memory, value);
  SPI_finish();
}

/// nullptr: there is nothing to read from.
const char *StatsAs(HttpListener *listener, const char *query) {
  StatsText stats{query, listener->memory, nullptr};
  if (!RunTransaction(ReadStats, &stats)) return nullptr;
  return stats.text;
}

HttpResponse StatsResponse(const char *text, bool is_json) {
  if (text == nullptr) return ErrorResponse(503, Dialect::kV1, "the database is not ready");
  HttpResponse response;
  response.status = 200;
  response.content_type = is_json ? "application/json" : "text/plain; version=0.0.4";
  response.body = text;
  if (is_json) response.body += '\n';
  return response;
}

struct Readiness {
  bool is_ready;
};

void LookWhetherReady(void *state) {
  static_cast<Readiness *>(state)->is_ready = ExtensionExists();
}

bool IsReady() {
  Readiness readiness{false};
  return RunTransaction(LookWhetherReady, &readiness) && readiness.is_ready;
}

/// Whether a request may read figures: anybody's valid token, where tokens are needed.
AccessStatus MayReadFigures(HttpListener *listener, const HttpRequest &request) {
  if (!listener->needs_token) return AccessStatus::kGranted;
  Access *access = MakeAccess(listener, request, "");
  GrantAccess(listener, &access, 1);
  return access->status;
}

void AnswerFigures(HttpListener *listener, HttpRequest *request, bool is_json) {
  const AccessStatus status = MayReadFigures(listener, *request);
  if (status != AccessStatus::kGranted) {
    listener->counters.Add(kRequestsRefused);
    HttpServerAnswer(listener->server, request, AccessResponse(status, Dialect::kV1, ""));
    return;
  }
  const char *text = StatsAs(listener, is_json ? kJsonQuery : kPrometheusQuery);
  HttpServerAnswer(listener->server, request, StatsResponse(text, is_json));
}

void Route(HttpListener *listener, HttpRequest *request) {
  HttpServer *server = listener->server;
  const std::string &path = request->path;
  if (path == "/write") {
    TakeWrite(listener, request, Dialect::kV1);
  } else if (path == "/api/v2/write") {
    TakeWrite(listener, request, Dialect::kV2);
  } else if (path == "/query" || path == "/api/v2/query") {
    TakeQuery(listener, request);
  } else if (path == "/ping") {
    HttpServerAnswer(server, request, HttpResponse());
  } else if (path == "/health") {
    HttpServerAnswer(server, request, JsonResponse(200, R"({"status":"healthy"})"));
  } else if (path == "/ready") {
    HttpServerAnswer(server, request,
                     IsReady() ? JsonResponse(200, R"({"ready":true})")
                               : JsonResponse(503, R"({"ready":false})"));
  } else if (path == "/stats" || path == "/metrics") {
    AnswerFigures(listener, request, path == "/stats");
  } else {
    HttpServerAnswer(server, request, ErrorResponse(404, Dialect::kV1, "no such path"));
  }
}

/// The server's own counts since the last time.
void TakeServerCounts(HttpListener *listener, HttpServerCounts *last) {
  const HttpServerCounts now = HttpServerCount(listener->server);
  Counters *counters = &listener->counters;
  counters->Add(kConnections, now.connections - last->connections);
  counters->Add(kRequests, now.requests - last->requests);
  counters->Add(kRequestsTooLarge, now.too_large - last->too_large);
  counters->Add(kRequestsOverloaded, now.overloaded - last->overloaded);
  counters->Add(kRequestsLate, now.timeouts - last->timeouts);
  counters->Add(kBytes, now.bytes - last->bytes);
  *last = now;
}

void Wait(HttpListener *listener, Opened *opened) {
  long wait_ms = kReopenMs;
  if (opened->events != nullptr) {
    wait_ms = static_cast<long>(HttpServerTimeout(listener->server));
    const long queries_ms = MillisecondsToQueries();
    if (queries_ms >= 0) wait_ms = wait_ms < 0 ? queries_ms : std::min(wait_ms, queries_ms);
    WaitEvent event;
    (void)WaitEventSetWait(opened->events, wait_ms, &event, 1, PG_WAIT_EXTENSION);
  } else {
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
                    PG_WAIT_EXTENSION);
  }
  ResetLatch(MyLatch);
}

/// One look at the server: takes whole requests, stores, answers.
void Round(HttpListener *listener, HttpServerCounts *counts) {
  HttpServerRun(listener->server);
  bool any = false;
  for (int i = 0; i < kRequestsARound; i++) {
    HttpRequest *request = HttpServerNext(listener->server);
    if (request == nullptr) break;
    Route(listener, request);
    any = true;
  }
  StoreWrites(listener);
  RunQueries(listener);
  TakeServerCounts(listener, counts);
  FlushCounters(&listener->counters);
  if (any) pgstat_report_activity(STATE_IDLE, nullptr);
}

}  // namespace

HttpResponse JsonResponse(unsigned status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = std::move(body);
  response.body += '\n';
  return response;
}

HttpResponse ErrorResponse(unsigned status, Dialect dialect, std::string_view message) {
  std::string body;
  if (dialect == Dialect::kV1) {
    body = "{\"error\":";
  } else {
    const char *code = "internal error";
    switch (status) {
      case 400:
        code = "invalid";
        break;
      case 401:
        code = "unauthorized";
        break;
      case 403:
        code = "forbidden";
        break;
      case 404:
        code = "not found";
        break;
      case 405:
        code = "method not allowed";
        break;
      case 413:
        code = "request too large";
        break;
      case 422:
        code = "unprocessable entity";
        break;
      case 503:
        code = "unavailable";
        break;
      default:
        break;
    }
    body = std::string("{\"code\":\"") + code + "\",\"message\":";
  }
  AppendJson(&body, message);
  body += '}';
  HttpResponse response = JsonResponse(status, std::move(body));
  response.headers.emplace_back("X-Influxdb-Error", HeaderValue(message));
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

void RunHttpListener() {
  static HttpListener the_listener;
  HttpListener *listener = &the_listener;
  listener->store = LineStoreCreate();
  listener->memory =
      AllocSetContextCreate(TopMemoryContext, "tsext HTTP round", ALLOCSET_DEFAULT_SIZES);
  Opened opened{};
  HttpServerCounts counts{};
  MemoryContextSwitchTo(listener->memory);
  OpenSocket(listener, &opened);
  pgstat_report_activity(STATE_IDLE, nullptr);
  for (;;) {
    Wait(listener, &opened);
    if (HandleListenerSignals()) {
      LineStoreReload(listener->store);
      if (!SocketIsAsSet(opened)) {
        CloseSocket(listener, &opened);
      } else if (listener->server != nullptr) {
        HttpServerSetLimits(listener->server, Limits());
        DecideAuth(listener, opened);
      }
    }
    if (ListenerShallStop()) return;
    if (opened.events == nullptr) {
      OpenSocket(listener, &opened);
      counts = HttpServerCounts();
    }
    if (opened.events != nullptr) Round(listener, &counts);
    MemoryContextReset(listener->memory);
  }
}

}  // namespace tsext::pg
