// The UDP listener's worker: datagrams into a ring, batches out of it.

#include <cinttypes>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/clock.hpp"
#include "pg/ingest/line_store.hpp"
#include "pg/ingest/listener_settings.hpp"
#include "pg/ingest/listener_workers.hpp"
#include "pg/ingest/udp_socket.hpp"

extern "C" {
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pgstat.h"
#include "storage/latch.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// While a batch is being stored the socket is emptied this often. 4 MB of kernel buffer hold some
// 20 ms at 100,000 datagrams a second.
constexpr int kDrainIntervalMs = 5;
constexpr int kRetryMs = 1000;
constexpr int kMaxTries = 30;
constexpr int kReopenMs = 5000;

constinit UdpSocket datagrams;

struct Listener {
  LineStore *store;
  MemoryContext memory;  // of one batch
  WaitEventSet *events;  // nullptr: no socket
  char address[64];      // the setting that the socket was opened with
  char bound[64];        // what it is bound to
  int receive_buffer_kb;
  bool listen_external;
  Counters counters;
  int tries;            // of the batch at the ring's tail
  int64 not_before_us;  // monotonic, the next try
  TimeoutId timeout;
};

/// One batch: what lies in the ring up to `end`.
struct Batch {
  LineRequest *requests;
  const Datagram **sources;
  int count;
  uint64_t end, lines;
};

int64_t UnixNowUs() {
  return GetCurrentTimestamp() +
         int64_t{POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE} * SECS_PER_DAY * USECS_PER_SEC;
}

void DrainOnTimeout() {
  datagrams.Drain();
}

void TakeSocketCounts(Listener *listener) {
  listener->counters.Add(kDatagrams, datagrams.datagrams);
  listener->counters.Add(kBytes, datagrams.bytes);
  listener->counters.Add(kDatagramsTruncated, datagrams.truncated);
  listener->counters.Add(kDatagramsDropped, datagrams.dropped);
  const bool any = datagrams.datagrams + datagrams.dropped > 0;
  datagrams.datagrams = datagrams.bytes = datagrams.truncated = datagrams.dropped = 0;
  if (any) FlushCounters(&listener->counters);
}

void CloseSocket(Listener *listener) {
  if (listener->events == nullptr) return;
  FreeWaitEventSet(listener->events);
  listener->events = nullptr;
  close(datagrams.descriptor());
  datagrams.Attach(-1);
  ShowListenerState("", "not listening");
}

/// Asks for a large receive buffer, and for the count of what did not fit.
void SetSocketOptions(int descriptor) {
  const int wanted = udp_receive_buffer_kb * 1024, on = 1;
  (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
  (void)setsockopt(descriptor, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  int given = 0;
  socklen_t length = sizeof given;
  (void)getsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &given, &length);
  given /= 2;  // the kernel doubles it for its own book-keeping
  if (given < wanted) {
    ereport(WARNING, (errmsg("the UDP listener's receive buffer has %d kB instead of %d kB",
                             given / 1024, wanted / 1024),
                      errdetail("Datagrams are lost when it is full."),
                      errhint("Run sysctl -w net.core.rmem_max=%d and reload, or ask for less with "
                              "tsext.udp_receive_buffer.",
                              wanted)));
  }
}

void OpenSocket(Listener *listener) {
  MemoryContext caller = MemoryContextSwitchTo(listener->memory);
  bool is_loopback;
  const int descriptor = OpenListenSocket(udp_listen, SOCK_DGRAM, "tsext.udp_listen",
                                          listener->bound, sizeof listener->bound, &is_loopback);
  strlcpy(listener->address, udp_listen, sizeof listener->address);
  listener->listen_external = listen_external;
  listener->receive_buffer_kb = udp_receive_buffer_kb;
  if (descriptor < 0) {
    ShowListenerState("", "could not listen; see the server's log");
  } else {
    SetSocketOptions(descriptor);
    datagrams.Attach(descriptor);
    listener->events = CreateWaitEventSet(TopMemoryContext, 3);
    AddWaitEventToSet(listener->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
    AddWaitEventToSet(listener->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
    AddWaitEventToSet(listener->events, WL_SOCKET_READABLE, descriptor, nullptr, nullptr);
    ShowListenerState(listener->bound, "listening");
    ereport(LOG, (errmsg("tsext listens for datagrams on %s", listener->bound)));
  }
  MemoryContextSwitchTo(caller);
  MemoryContextReset(listener->memory);
}

/// The peer's address as text.
void NamePeer(void *context, int request, char *to, size_t size) {
  const sockaddr_in6 &peer = static_cast<Batch *>(context)->sources[request]->peer;
  char text[INET6_ADDRSTRLEN] = "";
  if (peer.sin6_family == AF_INET6) {
    inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof text);
    pg_snprintf(to, size, "[%s]:%d", text, ntohs(peer.sin6_port));
  } else {
    const auto *in = reinterpret_cast<const sockaddr_in *>(&peer);
    inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    pg_snprintf(to, size, "%s:%d", text, ntohs(in->sin_port));
  }
}

Batch CollectBatch(MemoryContext memory) {
  const size_t most_bytes = size_t{1024} * batch_bytes_kb;
  Batch batch{};
  batch.end = datagrams.Begin();
  int capacity = 0;
  size_t bytes = 0;
  MemoryContext caller = MemoryContextSwitchTo(memory);
  for (;;) {
    uint64_t position = batch.end;
    const Datagram *datagram = datagrams.Next(&position);
    if (datagram == nullptr) break;
    if (batch.count > 0 && (bytes + datagram->size > most_bytes ||
                            batch.lines + datagram->lines > static_cast<uint64_t>(batch_points)))
      break;
    if (batch.count == capacity) {
      const int grown = capacity == 0 ? 64 : 2 * capacity;
      const auto resize = [&](void *old, size_t width) {
        return old == nullptr ? palloc(width * grown) : repalloc(old, width * grown);
      };
      batch.requests = static_cast<LineRequest *>(resize(batch.requests, sizeof(LineRequest)));
      batch.sources = static_cast<const Datagram **>(resize(batch.sources, sizeof(Datagram *)));
      capacity = grown;
    }
    LineRequest *request = new (&batch.requests[batch.count]) LineRequest();
    request->lines = datagram->text();
    request->precision = UdpPrecision();
    request->receive_time_ns = datagram->received_us * 1000;
    batch.sources[batch.count++] = datagram;
    batch.lines += datagram->lines;
    bytes += datagram->size;
    batch.end = position;
  }
  MemoryContextSwitchTo(caller);
  return batch;
}

StoreResult Store(Listener *listener, Batch *batch, int from, int count) {
  Batch part = *batch;
  part.sources += from;
  enable_timeout_every(listener->timeout,
                       TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kDrainIntervalMs),
                       kDrainIntervalMs);
  const StoreResult result =
      StoreLines(listener->store, InvalidOid, listen_schema, batch->requests + from, count,
                 PeerNames{NamePeer, &part}, &listener->counters);
  disable_timeout(listener->timeout, false);
  return result;
}

void ResetRequest(LineRequest *request) {
  LineRequest fresh;
  fresh.lines = request->lines;
  fresh.precision = request->precision;
  fresh.receive_time_ns = request->receive_time_ns;
  *request = fresh;
}

/// The batch failed for what is in it: each datagram for itself.
void StoreOneByOne(Listener *listener, Batch *batch) {
  for (int i = 0; i < batch->count; i++) {
    ResetRequest(&batch->requests[i]);
    if (Store(listener, batch, i, 1).outcome != StoreOutcome::kCommitted) {
      ResetRequest(&batch->requests[i]);
      CountLostLines(&batch->requests[i], 1, &listener->counters);
    }
  }
}

/// Stores the oldest datagrams; on an error that may pass they stay for a later try, unless `last`.
void StoreBatch(Listener *listener, bool last) {
  MemoryContext caller = MemoryContextSwitchTo(listener->memory);
  Batch batch = CollectBatch(listener->memory);
  pgstat_report_activity(STATE_RUNNING, psprintf("tsext: storing %d datagrams", batch.count));
  const StoreResult result = Store(listener, &batch, 0, batch.count);
  bool done = true;
  if (result.outcome != StoreOutcome::kCommitted) {
    listener->tries++;
    char state[128];
    pg_snprintf(state, sizeof state, "could not store: %s", result.message);
    if (listener->tries == 1)
      ereport(LOG,
              (errcode(result.sqlstate), errmsg("the UDP listener could not store %d datagrams: %s",
                                                batch.count, result.message)));
    if (result.outcome == StoreOutcome::kFailed) {
      StoreOneByOne(listener, &batch);
    } else if (last || listener->tries >= kMaxTries) {
      for (int i = 0; i < batch.count; i++) ResetRequest(&batch.requests[i]);
      CountLostLines(batch.requests, batch.count, &listener->counters);
      ereport(LOG, (errmsg("the UDP listener gave %d datagrams up after %d tries", batch.count,
                           listener->tries)));
    } else {
      done = false;
      listener->not_before_us = MonotonicMicroseconds() + kRetryMs * 1000L;
      ShowListenerState(listener->bound, state);
    }
  }
  if (done) {
    if (listener->tries > 0) ShowListenerState(listener->bound, "listening");
    datagrams.Release(batch.end, batch.lines);
    listener->tries = 0;
    listener->not_before_us = 0;
  }
  MemoryContextSwitchTo(caller);
  MemoryContextReset(listener->memory);
  TakeSocketCounts(listener);
}

/// Milliseconds until the oldest datagrams must be stored; 0: now, -1: there are none.
long MillisecondsToBatch(const Listener *listener) {
  if (datagrams.is_empty()) return -1;
  if (listener->not_before_us != 0)
    return Max((listener->not_before_us - MonotonicMicroseconds() + 999) / 1000, 0);
  if (datagrams.pending_bytes() >= size_t{1024} * batch_bytes_kb || datagrams.is_full() ||
      datagrams.pending_lines() >= static_cast<uint64_t>(batch_points))
    return 0;
  uint64_t position = datagrams.Begin();
  const int64_t age_us = UnixNowUs() - datagrams.Next(&position)->received_us;
  if (age_us < 0) return 0;  // the clock was set back
  const int64_t left_us = int64_t{1000} * batch_interval_ms - age_us;
  return left_us <= 0 ? 0 : static_cast<long>((left_us + 999) / 1000);
}

void Wait(Listener *listener) {
  long wait_ms = MillisecondsToBatch(listener);
  if (wait_ms == 0) return;
  if (listener->events == nullptr) {
    if (wait_ms < 0 || wait_ms > kReopenMs) wait_ms = kReopenMs;
  } else if (!datagrams.is_full()) {
    WaitEvent event;
    (void)WaitEventSetWait(listener->events, wait_ms, &event, 1, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    return;
  }
  // Without the socket: there is none, or no room for what it has.
  (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
                  PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
}

bool SocketIsAsSet(const Listener *listener) {
  return strcmp(listener->address, udp_listen) == 0 &&
         listener->listen_external == listen_external &&
         listener->receive_buffer_kb == udp_receive_buffer_kb;
}

}  // namespace

void RunUdpListener() {
  Listener *listener =
      static_cast<Listener *>(MemoryContextAllocZero(TopMemoryContext, sizeof(Listener)));
  listener->store = LineStoreCreate();
  listener->memory =
      AllocSetContextCreate(TopMemoryContext, "tsext datagrams", ALLOCSET_DEFAULT_SIZES);
  listener->timeout = RegisterTimeout(USER_TIMEOUT, DrainOnTimeout);
  const size_t ring_bytes = size_t{1024} * udp_buffer_kb;
  datagrams.Init(
      static_cast<char *>(MemoryContextAllocHuge(TopMemoryContext, ring_bytes)), ring_bytes,
      static_cast<char *>(MemoryContextAllocHuge(TopMemoryContext, UdpSocket::ScratchBytes())));
  OpenSocket(listener);
  pgstat_report_activity(STATE_IDLE, nullptr);
  for (;;) {
    Wait(listener);
    if (HandleListenerSignals()) {
      LineStoreReload(listener->store);
      if (!SocketIsAsSet(listener)) CloseSocket(listener);
    }
    const bool stops = ListenerShallStop();
    if (listener->events == nullptr && !stops) OpenSocket(listener);
    datagrams.Drain();
    TakeSocketCounts(listener);
    bool stored = false;
    while (stops ? !datagrams.is_empty() : MillisecondsToBatch(listener) == 0) {
      StoreBatch(listener, stops);
      stored = true;
      if (!stops && HandleListenerSignals()) LineStoreReload(listener->store);
      if (!stops && ListenerShallStop()) break;
      if (!stops) datagrams.Drain();
    }
    if (stored) pgstat_report_activity(STATE_IDLE, nullptr);
    if (stops) return;
  }
}

}  // namespace tsext::pg
