#include "pg/ingest/line_store.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/base/transaction.hpp"
#include "pg/ingest/listener_settings.hpp"

extern "C" {
#include "access/xact.h"
#include "commands/extension.h"
#include "utils/errcodes.h"
}

namespace tsext::pg {

namespace {

// Roles and schemas that are written to in turn; beyond it the one used longest ago is forgotten.
constexpr int kMaxRouters = 32;
// Rejected lines of a batch that are kept for tsext.rejected_lines.
constexpr int kMaxNoted = 20;

struct RoleRouter {
  Oid role;
  char schema[NAMEDATALEN];
  Router *router;  // nullptr: free
  uint64_t last_use;
};

struct NotedLine {
  int request;
  RejectReason reason;
  std::string_view line;
  char message[128];
};

/// One call of StoreLines, for the body of its transaction.
struct Batch {
  LineStore *store;
  Oid role;
  const char *schema;
  LineRequest *requests;
  int count;
  MemoryContext caller;
  RouterStats before, after;
  bool wants_retry;
  int noted_count;
  NotedLine noted[kMaxNoted];
};

/// RejectSink::take.
void TakeRejection(void *context, const Rejection &rejection) {
  auto *batch = static_cast<Batch *>(context);
  if (rejection.retry) batch->wants_retry = true;
  if (batch->noted_count == kMaxNoted) return;
  NotedLine *noted = &batch->noted[batch->noted_count++];
  noted->request = rejection.request;
  noted->reason = rejection.reason;
  noted->line = rejection.line;
  strlcpy(noted->message, rejection.message, sizeof noted->message);
}

}  // namespace

struct LineStore {
  MemoryContext memory;
  uint64_t clock;
  RoleRouter routers[kMaxRouters];
};

namespace {

Router *FindRouter(LineStore *store, Oid role, const char *schema) {
  RoleRouter *victim = &store->routers[0];
  for (RoleRouter &entry : store->routers) {
    if (entry.router != nullptr && entry.role == role && strcmp(entry.schema, schema) == 0) {
      entry.last_use = ++store->clock;
      return entry.router;
    }
    if (victim->router != nullptr && (entry.router == nullptr || entry.last_use < victim->last_use))
      victim = &entry;
  }
  if (victim->router != nullptr) {
    RouterDestroy(victim->router);
    victim->router = nullptr;
  }
  victim->router = RouterCreate(store->memory, schema, ListenerRouterOptions());
  victim->role = role;
  strlcpy(victim->schema, schema, sizeof victim->schema);
  victim->last_use = ++store->clock;
  return victim->router;
}

void StoreBody(void *state) {
  auto *batch = static_cast<Batch *>(state);
  if (!ExtensionExists()) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("database \"%s\" does not have the extension tsext", listen_database),
                    errhint("Run CREATE EXTENSION tsext there.")));
  }
  if (superuser() && !listen_superuser) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("role \"%s\" is a superuser", listen_role),
                    errhint("Name another one in tsext.listen_role, or set "
                            "tsext.listen_superuser.")));
  }
  Oid own_role;
  int own_context;
  GetUserIdAndSecContext(&own_role, &own_context);
  // Code of tables' owners may run (triggers, defaults): it cannot change to another role.
  // An error resets both with the transaction.
  SetUserIdAndSecContext(OidIsValid(batch->role) ? batch->role : own_role,
                         own_context | SECURITY_LOCAL_USERID_CHANGE);
  Router *router = FindRouter(batch->store, batch->role, batch->schema);
  batch->before = *RouterGetStats(router);
  MemoryContext transaction = MemoryContextSwitchTo(batch->caller);
  RouterWrite(router, batch->requests, batch->count, RejectSink{TakeRejection, batch});
  MemoryContextSwitchTo(transaction);
  batch->after = *RouterGetStats(router);
  if (batch->wants_retry) {
    ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
                    errmsg("could not get a lock that the lines need in time")));
  }
  StopPoint("listener_before_commit");
  SetUserIdAndSecContext(own_role, own_context);
}

void CountBatch(const Batch &batch, Counters *counters) {
  for (int i = 0; i < batch.count; i++) {
    const LineRequest &request = batch.requests[i];
    counters->Add(kStored, static_cast<uint64_t>(request.stored));
    counters->Add(kLines, static_cast<uint64_t>(request.stored + request.RejectedTotal()));
    for (int reason = 0; reason < kRejectReasonCount; reason++)
      counters->values[kRejected + reason] += static_cast<uint64_t>(request.rejected[reason]);
  }
  const RouterStats &before = batch.before, &after = batch.after;
  counters->Add(kRetries, static_cast<uint64_t>(after.retries - before.retries));
  counters->Add(kWidened, static_cast<uint64_t>(after.widened - before.widened));
  counters->Add(kMerged, static_cast<uint64_t>(after.merged - before.merged));
  counters->Add(kTablesCreated,
                static_cast<uint64_t>(after.tables_created - before.tables_created));
  counters->Add(kColumnsAdded, static_cast<uint64_t>(after.columns_added - before.columns_added));
  counters->Add(kBatches);
}

/// Errors of the server or of the moment, which the next try need not meet.
bool MayPass(int sqlstate) {
  switch (ERRCODE_TO_CATEGORY(sqlstate)) {
    case MAKE_SQLSTATE('0', '8', '0', '0', '0'):  // connection
    case MAKE_SQLSTATE('2', '5', '0', '0', '0'):  // read-only transaction
    case MAKE_SQLSTATE('3', 'F', '0', '0', '0'):  // schema that is not there (yet)
    case MAKE_SQLSTATE('4', '0', '0', '0', '0'):  // serialization, deadlock
    case MAKE_SQLSTATE('5', '3', '0', '0', '0'):  // memory, disk
    case MAKE_SQLSTATE('5', '5', '0', '0', '0'):  // locks, extension missing
    case MAKE_SQLSTATE('5', '7', '0', '0', '0'):  // cancel, shutdown
    case MAKE_SQLSTATE('5', '8', '0', '0', '0'):  // input and output
    case MAKE_SQLSTATE('X', 'X', '0', '0', '0'):
      return true;
    default:
      return false;
  }
}

}  // namespace

bool ExtensionExists() {
  return OidIsValid(get_extension_oid("tsext", true));
}

LineStore *LineStoreCreate() {
  auto *store =
      static_cast<LineStore *>(MemoryContextAllocZero(TopMemoryContext, sizeof(LineStore)));
  store->memory = AllocSetContextCreate(TopMemoryContext, "tsext routers", ALLOCSET_DEFAULT_SIZES);
  return store;
}

void LineStoreReload(LineStore *store) {
  const RouterOptions options = ListenerRouterOptions();
  for (RoleRouter &entry : store->routers) {
    if (entry.router != nullptr) RouterSetOptions(entry.router, options);
  }
}

StoreResult StoreLines(LineStore *store, Oid role, const char *schema, LineRequest *requests,
                       int count, const PeerNames &peers, Counters *counters) {
  Batch batch{};
  batch.store = store;
  batch.role = role;
  batch.schema = schema;
  batch.requests = requests;
  batch.count = count;
  batch.caller = CurrentMemoryContext;
  const ErrorData *error = TryTransaction(StoreBody, &batch);
  if (error != nullptr) {
    counters->Add(kFailedBatches);
    FlushCounters(counters);
    return {MayPass(error->sqlerrcode) ? StoreOutcome::kRetry : StoreOutcome::kFailed,
            error->sqlerrcode, error->message};
  }
  CountBatch(batch, counters);
  FlushCounters(counters);
  for (int i = 0; i < batch.noted_count && NotesRejectedLines(); i++) {
    const NotedLine &noted = batch.noted[i];
    char peer[56] = "";
    peers.name(peers.context, noted.request, peer, sizeof peer);
    NoteRejectedLine(peer, noted.reason, noted.message, noted.line);
  }
  return {StoreOutcome::kCommitted, 0, nullptr};
}

void CountLostLines(const LineRequest *requests, int count, Counters *counters) {
  ContextResource memory(CurrentMemoryContext);
  LineReader reader(&memory);
  for (int i = 0; i < count; i++) {
    reader.Start(requests[i].lines, requests[i].precision);
    LinePoint point;
    while (reader.Next(&point)) {
      const RejectReason reason =
          point.error == LineError::kNone
              ? RejectReason::kFailed
              : static_cast<RejectReason>(static_cast<int>(point.error) - 1);
      counters->Add(kLines);
      counters->values[kRejected + static_cast<int>(reason)]++;
    }
  }
  FlushCounters(counters);
}

}  // namespace tsext::pg
