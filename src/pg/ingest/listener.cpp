#include "pg/ingest/listener.hpp"

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/clock.hpp"
#include "pg/base/transaction.hpp"
#include "pg/base/worker.hpp"
#include "pg/ingest/listener_settings.hpp"
#include "pg/ingest/listener_shared.hpp"
#include "pg/ingest/listener_workers.hpp"

extern "C" {
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// A worker that ended is started again after so long, and one that could not start.
constexpr int64 kRestartUs = USECS_PER_SEC;
constexpr int kRetryMs = 5000;
// Nobody's lock keeps a batch, or the server's shutdown, waiting longer.
constexpr const char *kLockTimeout = "5s";

ListenerShared *shared = nullptr;
shmem_request_hook_type previous_shmem_request = nullptr;
shmem_startup_hook_type previous_shmem_startup = nullptr;
ListenerKind my_kind = ListenerKind::kUdp;

/// What a worker was started with: it cannot change its database or role.
char my_database[NAMEDATALEN];
char my_role[NAMEDATALEN];

void RequestSharedMemory() {
  if (previous_shmem_request != nullptr) previous_shmem_request();
  RequestAddinShmemSpace(MAXALIGN(sizeof(ListenerShared)));
  RequestNamedLWLockTranche("tsext_listeners", 1);
}

void StartSharedMemory() {
  if (previous_shmem_startup != nullptr) previous_shmem_startup();
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  bool found;
  shared = static_cast<ListenerShared *>(
      ShmemInitStruct("tsext listeners", sizeof(ListenerShared), &found));
  if (!found) {
    memset(static_cast<void *>(shared), 0, sizeof *shared);
    shared->lock = &GetNamedLWLockTranche("tsext_listeners")->lock;
  }
  LWLockRelease(AddinShmemInitLock);
}

const char *AddressSetting(ListenerKind kind) {
  return kind == ListenerKind::kUdp ? udp_listen : http_listen;
}

ListenerSlot *MySlot() {
  return &shared->slots[static_cast<int>(my_kind)];
}

void ReleaseSlot(int, Datum) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  if (MySlot()->pid == MyProcPid) {
    MySlot()->pid = 0;
    MySlot()->address[0] = '\0';
    strlcpy(MySlot()->state, "stopped", sizeof MySlot()->state);
  }
  LWLockRelease(shared->lock);
}

void ClaimSlot() {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  ListenerSlot *slot = MySlot();
  const bool taken = slot->pid != 0;
  if (!taken) {
    slot->pid = MyProcPid;
    slot->started = GetCurrentTimestamp();
    strlcpy(slot->state, "starting", sizeof slot->state);
  }
  LWLockRelease(shared->lock);
  if (taken) proc_exit(0);
  before_shmem_exit(ReleaseSlot, 0);
}

/// The launcher's side of one listener.
struct Supervised {
  BackgroundWorkerHandle *handle;
  int64 next_start_us;   // monotonic
  const char *obstacle;  // already logged
};

Supervised supervised[kListenerCount];

struct Target {
  bool has_database, has_role, is_superuser, may_login;
};

/// Reads two shared catalogs without their indexes: a cluster's very first process without a
/// database cannot open these.
void FindTarget(void *state) {
  auto *target = static_cast<Target *>(state);
  *target = Target();
  Relation databases = table_open(DatabaseRelationId, AccessShareLock);
  TableScanDesc scan = table_beginscan_catalog(databases, 0, nullptr);
  while (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection)) {
    auto *form = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
    target->has_database |= strcmp(NameStr(form->datname), listen_database) == 0;
  }
  table_endscan(scan);
  table_close(databases, AccessShareLock);
  Relation roles = table_open(AuthIdRelationId, AccessShareLock);
  scan = table_beginscan_catalog(roles, 0, nullptr);
  while (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection)) {
    auto *form = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple));
    if (strcmp(NameStr(form->rolname), listen_role) != 0) continue;
    target->has_role = true;
    target->is_superuser = form->rolsuper;
    target->may_login = form->rolcanlogin;
  }
  table_endscan(scan);
  table_close(roles, AccessShareLock);
}

/// Why the workers cannot start; nullptr: they can.
const char *FindObstacle() {
  if (listen_role[0] == '\0') return "tsext.listen_role is not set";
  Target target;
  if (!RunTransaction(FindTarget, &target)) return "its database and role could not be looked up";
  if (!target.has_database) return "the database of tsext.listen_database does not exist";
  if (!target.has_role) return "the role of tsext.listen_role does not exist";
  if (target.is_superuser && !listen_superuser)
    return "the role of tsext.listen_role is a superuser, and tsext.listen_superuser is off";
  if (!target.may_login) return "the role of tsext.listen_role has no LOGIN";
  return nullptr;
}

bool Register(ListenerKind kind, BackgroundWorkerHandle **handle) {
  char type[BGW_MAXLEN];
  pg_snprintf(type, sizeof type, "tsext %s listener", ListenerName(kind));
  BackgroundWorker worker = DescribeWorker("tsext_listener_main", type);
  worker.bgw_main_arg = Int32GetDatum(static_cast<int>(kind));
  *handle = StartWorker(&worker);
  return *handle != nullptr;
}

void ReportObstacle(Supervised *listener, ListenerKind kind, const char *obstacle) {
  // Once for each, not every five seconds: the texts are constants.
  if (listener->obstacle == obstacle) return;
  listener->obstacle = obstacle;
  if (obstacle != nullptr) {
    ereport(LOG, (errmsg("could not start the tsext %s listener: %s", ListenerName(kind), obstacle),
                  errdetail("It is tried again every %d seconds.", kRetryMs / 1000)));
  }
}

/// Milliseconds until this listener wants another look; -1: none.
int Supervise(ListenerKind kind) {
  Supervised *listener = &supervised[static_cast<int>(kind)];
  const int64 now_us = MonotonicMicroseconds();
  if (listener->handle != nullptr) {
    pid_t pid;
    if (GetBackgroundWorkerPid(listener->handle, &pid) != BGWH_STOPPED) return -1;
    pfree(listener->handle);
    listener->handle = nullptr;
    listener->next_start_us = now_us + kRestartUs;
  }
  if (AddressSetting(kind)[0] == '\0') {
    listener->obstacle = nullptr;
    return -1;
  }
  LWLockAcquire(shared->lock, LW_SHARED);
  const bool runs = shared->slots[static_cast<int>(kind)].pid != 0;
  LWLockRelease(shared->lock);
  if (runs) return kRetryMs;  // of an earlier launcher: its end is not told to this one
  if (now_us < listener->next_start_us)
    return static_cast<int>((listener->next_start_us - now_us) / 1000) + 1;

  const char *obstacle = FindObstacle();
  if (obstacle == nullptr && !Register(kind, &listener->handle))
    obstacle = "no background worker slot is free; raise max_worker_processes";
  ReportObstacle(listener, kind, obstacle);
  if (obstacle == nullptr) return -1;
  listener->handle = nullptr;
  listener->next_start_us = now_us + kRetryMs * 1000L;
  return kRetryMs;
}

void HandleShutdown(SIGNAL_ARGS) {
  const int saved = errno;
  ShutdownRequestPending = true;
  SetLatch(MyLatch);
  errno = saved;
}

void ApplySettings() {
  const bool synchronous =
      my_kind == ListenerKind::kUdp ? udp_synchronous_commit : http_synchronous_commit;
  SetConfigOption("synchronous_commit", synchronous ? "on" : "off", PGC_USERSET, PGC_S_OVERRIDE);
  SetConfigOption("lock_timeout", kLockTimeout, PGC_USERSET, PGC_S_OVERRIDE);
}

bool IsLoopback(const sockaddr *address) {
  if (address->sa_family == AF_INET) {
    const auto *in = reinterpret_cast<const sockaddr_in *>(address);
    return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
  }
  if (address->sa_family == AF_INET6) {
    const auto *in = reinterpret_cast<const sockaddr_in6 *>(address);
    return IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
  }
  return false;
}

/// -1 with errno set, or a bound socket.
int BindSocket(const addrinfo *address, int socket_type) {
  const int descriptor =
      socket(address->ai_family, socket_type | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
  if (descriptor < 0) return -1;
  const int on = 1;
  if (socket_type == SOCK_STREAM)
    (void)setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(descriptor, address->ai_addr, address->ai_addrlen) != 0 ||
      (socket_type == SOCK_STREAM && listen(descriptor, SOMAXCONN) != 0)) {
    const int saved = errno;
    close(descriptor);
    errno = saved;
    return -1;
  }
  return descriptor;
}

void NameSocket(int descriptor, char *bound, size_t bound_size) {
  sockaddr_storage address;
  socklen_t length = sizeof address;
  char host[INET6_ADDRSTRLEN] = "", port[16] = "";
  if (getsockname(descriptor, reinterpret_cast<sockaddr *>(&address), &length) == 0)
    (void)getnameinfo(reinterpret_cast<sockaddr *>(&address), length, host, sizeof host, port,
                      sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  pg_snprintf(bound, bound_size, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

}  // namespace

ListenerShared *GetListenerShared() {
  return shared;
}

const char *ListenerName(ListenerKind kind) {
  return kind == ListenerKind::kUdp ? "udp" : "http";
}

ListenerKind MyListener() {
  return my_kind;
}

void InitListeners() {
  DefineListenerSettings();
  if (!process_shared_preload_libraries_in_progress) return;
  previous_shmem_request = shmem_request_hook;
  shmem_request_hook = RequestSharedMemory;
  previous_shmem_startup = shmem_startup_hook;
  shmem_startup_hook = StartSharedMemory;
}

int StartListeners() {
  int wish = -1;
  for (const ListenerKind kind : {ListenerKind::kUdp, ListenerKind::kHttp}) {
#ifndef TSEXT_HTTP
    if (kind == ListenerKind::kHttp) {
      if (http_listen[0] != '\0')
        ReportObstacle(&supervised[1], kind, "this tsext was built without it (TSEXT_HTTP=no)");
      continue;
    }
#endif
    if (const int own = Supervise(kind); own >= 0) wish = wish < 0 ? own : Min(wish, own);
  }
  return wish;
}

void ShowListenerState(const char *address, const char *state) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  strlcpy(MySlot()->address, address, sizeof MySlot()->address);
  strlcpy(MySlot()->state, state, sizeof MySlot()->state);
  LWLockRelease(shared->lock);
}

int OpenListenSocket(const char *setting, int socket_type, const char *setting_name, char *bound,
                     size_t bound_size, bool *is_loopback) {
  char *host = pstrdup(setting), *port = pstrdup(setting);
  if (!SplitListenAddress(setting, host, port)) return -1;
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = socket_type;
  addrinfo *found = nullptr;
  const int status = getaddrinfo(host[0] == '\0' ? nullptr : host, port, &hints, &found);
  if (status != 0) {
    ereport(LOG, (errmsg("could not translate the address \"%s\" of %s: %s", setting, setting_name,
                         gai_strerror(status))));
    return -1;
  }
  int descriptor = -1;
  if (!IsLoopback(found->ai_addr) && !listen_external) {
    ereport(LOG, (errmsg("%s = \"%s\" is not a loopback address", setting_name, setting),
                  errhint("Set tsext.listen_external to listen there.")));
  } else {
    descriptor = BindSocket(found, socket_type);
    if (descriptor < 0)
      ereport(LOG, (errcode_for_socket_access(),
                    errmsg("could not listen on %s = \"%s\": %m", setting_name, setting)));
  }
  *is_loopback = IsLoopback(found->ai_addr);
  freeaddrinfo(found);
  if (descriptor >= 0) NameSocket(descriptor, bound, bound_size);
  return descriptor;
}

bool HandleListenerSignals() {
  CHECK_FOR_INTERRUPTS();
  if (!TakeNewConfiguration()) return false;
  ApplySettings();
  return true;
}

bool ListenerShallStop() {
  return ShutdownRequestPending || AddressSetting(my_kind)[0] == '\0' ||
         strcmp(my_database, listen_database) != 0 || strcmp(my_role, listen_role) != 0;
}

}  // namespace tsext::pg

void tsext_listener_main(Datum argument) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the worker's entry point
  Enter([argument] {
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, HandleShutdown);
    BackgroundWorkerUnblockSignals();
    my_kind = static_cast<ListenerKind>(DatumGetInt32(argument));
    ClaimSlot();
    strlcpy(my_database, listen_database, sizeof my_database);
    strlcpy(my_role, listen_role, sizeof my_role);
    BackgroundWorkerInitializeConnection(my_database, my_role, 0);
    ApplySettings();
    if (my_kind == ListenerKind::kUdp) {
      RunUdpListener();
    } else {
#ifdef TSEXT_HTTP
      RunHttpListener();
#endif
    }
  });
}
