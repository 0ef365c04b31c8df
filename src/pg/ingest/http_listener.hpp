#pragma once

// The parts of the HTTP listener's worker: its loop (http_listener.cpp), who may do what
// (http_access.cpp), writes (http_write.cpp), queries (http_query.cpp).
//
// Frames that call PostgreSQL own no C++ objects: an access step fills plain memory of the round,
// an answer is built afterwards from that.

#include <string>
#include <string_view>

#include "pg/ingest/http_server.hpp"
#include "pg/ingest/line_store.hpp"

namespace tsext::pg {

/// How errors look: InfluxDB's version 1 or 2.
enum class Dialect : uint8_t { kV1, kV2 };

enum class AccessStatus : uint8_t {
  kGranted,
  kUnauthorized,  // no valid token where one is needed
  kForbidden,     // the token lacks the right
  kNotFound,      // no such database (schema)
  kUnavailable,   // not now
};

/// A request's claim, and what came of it. Plain memory of the round.
struct Access {
  const char *name, *secret;  // "" when not given
  const char *database;       // db, or bucket up to its first '/'
  bool needs_write, needs_read;
  bool needs_schema;

  AccessStatus status;
  Oid role;                  // InvalidOid: the worker's own
  char schema[NAMEDATALEN];  // set when granted
  bool is_confined;          // to that schema, by its token
  bool may_write, may_read;
};

/// What all parts share.
struct HttpListener {
  HttpServer *server = nullptr;
  LineStore *store = nullptr;
  MemoryContext memory = nullptr;  // of one round
  bool needs_token = false;        // by tsext.http_auth and the address
  Counters counters;
};

/// Fills in the second half of each claim, all in one transaction.
void GrantAccess(HttpListener *listener, Access *const *claims, int count);
/// The claim of a request, in the round's memory. Needs no transaction.
Access *MakeAccess(HttpListener *listener, const HttpRequest &request, std::string_view database);
HttpResponse AccessResponse(AccessStatus status, Dialect dialect, std::string_view database);

HttpResponse ErrorResponse(unsigned status, Dialect dialect, std::string_view message);
HttpResponse JsonResponse(unsigned status, std::string body);

/// A whole /write or /api/v2/write: answered at once when it cannot be right, else it waits for
/// StoreWrites().
void TakeWrite(HttpListener *listener, HttpRequest *request, Dialect dialect);
/// Stores and answers what waits.
void StoreWrites(HttpListener *listener);

/// A whole /query.
void TakeQuery(HttpListener *listener, HttpRequest *request);
/// Starts and answers queries.
void RunQueries(HttpListener *listener);
/// Ends what runs, without an answer.
void ForgetQueries();
/// Milliseconds until RunQueries() must be called, whether its latch was set or not; -1: never.
long MillisecondsToQueries();

}  // namespace tsext::pg
