// Lines over HTTP: POST /write and /api/v2/write.

#include <cstring>
#include <vector>

#include "pg/base/boundary.hpp"
#include "pg/ingest/http_listener.hpp"
#include "pg/ingest/http_text.hpp"
#include "pg/ingest/listener_settings.hpp"

extern "C" {
#include "pgstat.h"
}

namespace tsext::pg {

namespace {

// Of a rejected line as much is shown in an answer.
constexpr size_t kShownLineBytes = 200;

struct Write {
  HttpRequest *request;
  Dialect dialect;
  TimePrecision precision;
  Access *access;
  bool answered;
};

/// Writes of this round. Lives as long as the worker.
std::vector<Write> &Waiting() {
  static auto *writes = new std::vector<Write>;
  return *writes;
}

bool ReasonIsOfParser(RejectReason reason) {
  return reason <= RejectReason::kReserved;
}

/// What an answer says about the rejected lines of a request.
std::string RejectionText(const LineRequest &lines) {
  std::string text;
  if (ReasonIsOfParser(lines.first_reason)) {
    text = "unable to parse '";
    text += Clip(lines.first_line, kShownLineBytes);
    text += "': ";
  }
  text += lines.first_message != nullptr ? lines.first_message : "rejected";
  return text;
}

HttpResponse RejectionResponse(const LineRequest &lines, Dialect dialect) {
  const int64_t dropped = lines.RejectedTotal();
  std::string text = RejectionText(lines);
  if (dropped > 1 || lines.stored > 0 || !ReasonIsOfParser(lines.first_reason))
    text += " dropped=" + std::to_string(dropped);
  if (lines.stored > 0) text.insert(0, "partial write: ");
  if (dialect == Dialect::kV2 && !ReasonIsOfParser(lines.first_reason))
    return ErrorResponse(422, dialect, text);
  return ErrorResponse(400, dialect, text);
}

void Answer(HttpListener *listener, Write *write, HttpResponse response) {
  write->answered = true;
  HttpServerAnswer(listener->server, write->request, std::move(response));
}

void NameRequestPeer(void *context, int request, char *to, size_t size) {
  auto *writes = static_cast<Write **>(context);
  strlcpy(to, writes[request]->request->peer.c_str(), size);
}

void FillLines(const Write &write, LineRequest *lines) {
  *lines = LineRequest();
  lines->lines = write.request->body;
  lines->precision = write.precision;
  lines->receive_time_ns = write.request->received_us * 1000;
}

StoreResult Store(HttpListener *listener, Write **writes, LineRequest *lines, int count) {
  for (int i = 0; i < count; i++) FillLines(*writes[i], &lines[i]);
  const Access *access = writes[0]->access;
  return StoreLines(listener->store, access->role, access->schema, lines, count,
                    PeerNames{NameRequestPeer, writes}, &listener->counters);
}

/// Stores requests of one role and schema; what cannot be stored together is stored one by one.
/// results[i] belongs to writes[i].
void StoreGroup(HttpListener *listener, Write **writes, LineRequest *lines, StoreResult *results,
                int count) {
  const StoreResult together = Store(listener, writes, lines, count);
  for (int i = 0; i < count; i++) results[i] = together;
  if (together.outcome != StoreOutcome::kCommitted && count > 1) {
    for (int i = 0; i < count; i++) results[i] = Store(listener, &writes[i], &lines[i], 1);
  }
  for (int i = 0; i < count; i++) {
    if (results[i].outcome == StoreOutcome::kCommitted) continue;
    FillLines(*writes[i], &lines[i]);
    CountLostLines(&lines[i], 1, &listener->counters);
  }
}

HttpResponse StoredResponse(const LineRequest &lines, const StoreResult &result, Dialect dialect) {
  switch (result.outcome) {
    case StoreOutcome::kCommitted:
      if (lines.RejectedTotal() > 0) return RejectionResponse(lines, dialect);
      return HttpResponse();
    case StoreOutcome::kRetry:
      return ErrorResponse(503, dialect, result.message);
    default:
      return ErrorResponse(dialect == Dialect::kV1 ? 400 : 422, dialect, result.message);
  }
}

/// Requests that go into one transaction: those of the first one's role and schema, as many as
/// tsext.batch_bytes allows.
int CollectGroup(Write **group) {
  int count = 0;
  size_t bytes = 0;
  for (Write &write : Waiting()) {
    if (write.answered) continue;
    if (count > 0) {
      const Access &first = *group[0]->access, &next = *write.access;
      if (first.role != next.role || strcmp(first.schema, next.schema) != 0) continue;
      if (bytes + write.request->body.size() > size_t{1024} * batch_bytes_kb) continue;
    }
    bytes += write.request->body.size();
    group[count++] = &write;
  }
  return count;
}

template <typename T>
T *RoundArray(HttpListener *listener, size_t count) {
  return static_cast<T *>(MemoryContextAllocZero(listener->memory, count * sizeof(T) + 1));
}

void GrantWrites(HttpListener *listener) {
  auto **claims = RoundArray<Access *>(listener, Waiting().size());
  int count = 0;
  for (const Write &write : Waiting()) claims[count++] = write.access;
  GrantAccess(listener, claims, count);
  for (Write &write : Waiting()) {
    if (write.access->status == AccessStatus::kGranted) continue;
    if (write.access->status == AccessStatus::kUnavailable) {
      listener->counters.Add(kRequestsOverloaded);
    } else {
      listener->counters.Add(kRequestsRefused);
    }
    Answer(listener, &write,
           AccessResponse(write.access->status, write.dialect, write.access->database));
  }
}

}  // namespace

void TakeWrite(HttpListener *listener, HttpRequest *request, Dialect dialect) {
  const auto refuse = [&](unsigned status, const char *message) {
    HttpServerAnswer(listener->server, request, ErrorResponse(status, dialect, message));
  };
  if (request->method != "POST") {
    HttpResponse response = ErrorResponse(405, dialect, "only POST is allowed here");
    response.headers.emplace_back("Allow", "POST");
    HttpServerAnswer(listener->server, request, std::move(response));
    return;
  }
  std::string_view database = request->Argument("db"), policy = request->Argument("rp");
  if (dialect == Dialect::kV2) {
    database = request->Argument("bucket");
    if (const size_t slash = database.find('/'); slash != std::string_view::npos) {
      policy = database.substr(slash + 1);
      database = database.substr(0, slash);
    }
  }
  if (!policy.empty() && policy != "autogen") listener->counters.Add(kRetentionPoliciesIgnored);
  Write write{request, dialect, HttpPrecision(), nullptr, false};
  const std::string_view precision = request->Argument("precision");
  if (!precision.empty() && !ParseTimePrecision(precision, &write.precision)) {
    refuse(400, "invalid precision; use ns, us, ms, s, m or h");
    return;
  }
  write.access = MakeAccess(listener, *request, database);
  write.access->needs_write = true;
  Waiting().push_back(write);
}

void StoreWrites(HttpListener *listener) {
  if (Waiting().empty()) return;
  GrantWrites(listener);
  const size_t most = Waiting().size();
  auto **group = RoundArray<Write *>(listener, most);
  auto *lines = RoundArray<LineRequest>(listener, most);
  auto *results = RoundArray<StoreResult>(listener, most);
  while (const int count = CollectGroup(group)) {
    pgstat_report_activity(STATE_RUNNING, psprintf("tsext: storing %d requests", count));
    StoreGroup(listener, group, lines, results, count);
    for (int i = 0; i < count; i++) {
      if (results[i].outcome == StoreOutcome::kRetry) listener->counters.Add(kRequestsOverloaded);
      Answer(listener, group[i], StoredResponse(lines[i], results[i], group[i]->dialect));
    }
  }
  Waiting().clear();
}

}  // namespace tsext::pg
