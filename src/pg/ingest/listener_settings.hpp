#pragma once

// Settings of the listeners. All are read again on SIGHUP, and none is any use in a session: they
// stand in postgresql.conf (or ALTER SYSTEM).

#include "tsext/line_protocol.hpp"

#include "pg/ingest/router.hpp"

namespace tsext::pg {

enum class HttpAuth : int { kAuto, kOn, kOff };

extern char *udp_listen;           // address:port; "" = off
extern char *http_listen;          // address:port; "" = off
extern bool listen_external;       // whether an address other than loopback may be listened on
extern char *listen_database;      // where lines go
extern char *listen_role;          // whose rights the workers have
extern bool listen_superuser;      // whether listen_role may be a superuser
extern char *listen_schema;        // where tables are made when a request names none
extern int batch_interval_ms;      // UDP: points wait no longer for their commit
extern int batch_points;           // points in a transaction
extern int batch_bytes_kb;         // text in a transaction
extern int udp_buffer_kb;          // datagrams read while others are being stored
extern int udp_receive_buffer_kb;  // asked of the kernel
extern bool udp_synchronous_commit;
extern bool http_synchronous_commit;
extern int http_auth;               // HttpAuth
extern int http_max_connections;    // open at a time
extern int http_max_body_kb;        // of a request, inflated
extern int http_max_header_kb;      // of a request
extern int http_buffer_kb;          // of all requests in work
extern int http_request_timeout_s;  // a request must be there so soon after its first line
extern int http_idle_timeout_s;     // a connection without a request is closed
extern int http_query_timeout_ms;   // 0 = none
extern int http_query_rows;         // of an answer
extern int http_query_workers;      // at a time

TimePrecision UdpPrecision();
TimePrecision HttpPrecision();
/// The router's part of the settings.
RouterOptions ListenerRouterOptions();

/// Called once from InitListeners().
void DefineListenerSettings();

/// "address:port" or "[address]:port" cut in two; address "" and "*" mean all. False: it is not of
/// that form. Both buffers have room for the whole text.
bool SplitListenAddress(const char *text, char *address, char *port);

}  // namespace tsext::pg
