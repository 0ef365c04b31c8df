#include "pg/ingest/listener_settings.hpp"

#include <cstdlib>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"

extern "C" {
#include "utils/guc.h"
}

namespace tsext::pg {

char *udp_listen = nullptr;
char *http_listen = nullptr;
bool listen_external = false;
char *listen_database = nullptr;
char *listen_role = nullptr;
bool listen_superuser = false;
char *listen_schema = nullptr;
int batch_interval_ms = 1000;
int batch_points = 50000;
int batch_bytes_kb = 8 * 1024;
int udp_buffer_kb = 32 * 1024;
int udp_receive_buffer_kb = 16 * 1024;
bool udp_synchronous_commit = false;
bool http_synchronous_commit = true;
int http_auth = static_cast<int>(HttpAuth::kAuto);
int http_max_connections = 1000;
int http_max_body_kb = 25 * 1024;
int http_max_header_kb = 64;
int http_buffer_kb = 128 * 1024;
int http_request_timeout_s = 60;
int http_idle_timeout_s = 120;
int http_query_timeout_ms = 30000;
int http_query_rows = 100000;
int http_query_workers = 4;

namespace {

int udp_precision = static_cast<int>(TimePrecision::kNanosecond);
int http_precision = static_cast<int>(TimePrecision::kNanosecond);

const config_enum_entry kPrecisions[] = {
    {"ns", static_cast<int>(TimePrecision::kNanosecond), false},
    {"us", static_cast<int>(TimePrecision::kMicrosecond), false},
    {"ms", static_cast<int>(TimePrecision::kMillisecond), false},
    {"s", static_cast<int>(TimePrecision::kSecond), false},
    {"m", static_cast<int>(TimePrecision::kMinute), false},
    {"h", static_cast<int>(TimePrecision::kHour), false},
    {"n", static_cast<int>(TimePrecision::kNanosecond), true},
    {"u", static_cast<int>(TimePrecision::kMicrosecond), true},
    {nullptr, 0, false}};

const config_enum_entry kAuthNames[] = {{"auto", static_cast<int>(HttpAuth::kAuto), false},
                                        {"on", static_cast<int>(HttpAuth::kOn), false},
                                        {"off", static_cast<int>(HttpAuth::kOff), false},
                                        {nullptr, 0, false}};

bool CheckListenAddress(char **value, void **, GucSource) {
  if ((*value)[0] == '\0') return true;
  const size_t size = strlen(*value) + 1;
  auto *buffer = static_cast<char *>(malloc(2 * size));
  if (buffer == nullptr) return false;
  const bool valid = SplitListenAddress(*value, buffer, buffer + size);
  free(buffer);
  if (!valid) GUC_check_errdetail("The form is address:port, as in 127.0.0.1:8086 or [::1]:8086.");
  return valid;
}

void DefineString(const char *name, const char *text, const char *more, char **variable,
                  const char *value, GucStringCheckHook check = nullptr) {
  DefineCustomStringVariable(name, text, more, variable, value, PGC_SIGHUP, 0, check, nullptr,
                             nullptr);
}

void DefineInt(const char *name, const char *text, const char *more, int *variable, int value,
               int least, int most, int unit) {
  DefineCustomIntVariable(name, text, more, variable, value, least, most, PGC_SIGHUP, unit, nullptr,
                          nullptr, nullptr);
}

void DefineBool(const char *name, const char *text, const char *more, bool *variable, bool value) {
  DefineCustomBoolVariable(name, text, more, variable, value, PGC_SIGHUP, 0, nullptr, nullptr,
                           nullptr);
}

void DefineCommonSettings() {
  DefineBool("tsext.listen_external", "Lets the listeners use addresses other than loopback.",
             "Line protocol is not encrypted; put a proxy with TLS in front of the HTTP listener.",
             &listen_external, false);
  DefineString("tsext.listen_database", "Database that the listeners write to.", nullptr,
               &listen_database, "postgres");
  DefineString("tsext.listen_role", "Role whose rights the listeners have.",
               "It needs LOGIN, and CREATE on the schema to make tables.", &listen_role, "");
  DefineBool("tsext.listen_superuser", "Lets tsext.listen_role be a superuser.",
             "Whoever reaches a listener then acts as a superuser, within what lines can do.",
             &listen_superuser, false);
  DefineString("tsext.listen_schema", "Schema of the tables, where a request names no other.",
               nullptr, &listen_schema, "public");
  DefineInt("tsext.batch_interval", "Time that points of datagrams wait for their commit.",
            "HTTP requests are committed at once.", &batch_interval_ms, 1000, 1, 60000,
            GUC_UNIT_MS);
  DefineInt("tsext.batch_points", "Points that a listener commits together.", nullptr,
            &batch_points, 50000, 1, 10000000, 0);
  DefineInt("tsext.batch_bytes", "Text that a listener commits together.", nullptr, &batch_bytes_kb,
            8 * 1024, 64, 1024 * 1024, GUC_UNIT_KB);
}

void DefineUdpSettings() {
  DefineString("tsext.udp_listen", "Address and port of the UDP listener.",
               "Form address:port; an empty string turns it off.", &udp_listen, "",
               CheckListenAddress);
  DefineCustomEnumVariable("tsext.udp_precision", "Unit of the times in datagrams.", nullptr,
                           &udp_precision, static_cast<int>(TimePrecision::kNanosecond),
                           kPrecisions, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
  DefineInt("tsext.udp_buffer", "Memory for datagrams that wait while others are being stored.",
            nullptr, &udp_buffer_kb, 32 * 1024, 1024, 1024 * 1024, GUC_UNIT_KB);
  DefineInt("tsext.udp_receive_buffer", "Receive buffer of the socket that is asked of the kernel.",
            "The kernel gives at most net.core.rmem_max.", &udp_receive_buffer_kb, 16 * 1024, 64,
            1024 * 1024, GUC_UNIT_KB);
  DefineBool("tsext.udp_synchronous_commit",
             "Whether the UDP listener waits for its commits to be on disk.", nullptr,
             &udp_synchronous_commit, false);
}

void DefineHttpSettings() {
  DefineString("tsext.http_listen", "Address and port of the HTTP listener.",
               "Form address:port; an empty string turns it off.", &http_listen, "",
               CheckListenAddress);
  DefineCustomEnumVariable("tsext.http_precision", "Unit of times where a request names none.",
                           nullptr, &http_precision, static_cast<int>(TimePrecision::kNanosecond),
                           kPrecisions, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
  DefineBool("tsext.http_synchronous_commit",
             "Whether the HTTP listener answers when a commit is on disk.",
             "Off: an answer 204 may be lost with a crash of the server.", &http_synchronous_commit,
             true);
  DefineCustomEnumVariable("tsext.http_auth", "Whether HTTP requests need a token.",
                           "auto: unless the listener is bound to a loopback address.", &http_auth,
                           static_cast<int>(HttpAuth::kAuto), kAuthNames, PGC_SIGHUP, 0, nullptr,
                           nullptr, nullptr);
  DefineInt("tsext.http_max_connections", "HTTP connections that may be open.",
            "Beyond it the one that has been idle longest is closed.", &http_max_connections, 1000,
            1, 60000, 0);
  DefineInt("tsext.http_max_body", "Largest body of a request, inflated.", nullptr,
            &http_max_body_kb, 25 * 1024, 1, 1024 * 1024, GUC_UNIT_KB);
  DefineInt("tsext.http_max_header", "Largest header of a request.", nullptr, &http_max_header_kb,
            64, 4, 1024, GUC_UNIT_KB);
  DefineInt("tsext.http_buffer", "Memory for the bodies of all requests that are in work.",
            "Requests beyond it are answered 503 with Retry-After.", &http_buffer_kb, 128 * 1024,
            1024, 16 * 1024 * 1024, GUC_UNIT_KB);
  DefineInt("tsext.http_request_timeout", "Time in which a request must have arrived.",
            "The connection is closed then, whether bytes still come or not.",
            &http_request_timeout_s, 60, 1, 3600, GUC_UNIT_S);
  DefineInt("tsext.http_idle_timeout", "Time that a connection may stay without a request.",
            nullptr, &http_idle_timeout_s, 120, 1, 86400, GUC_UNIT_S);
  DefineInt("tsext.http_query_timeout", "Time that a query over HTTP may take.",
            "0 means no limit.", &http_query_timeout_ms, 30000, 0, INT_MAX, GUC_UNIT_MS);
  DefineInt("tsext.http_query_rows", "Rows that a query over HTTP may return.",
            "A longer result is an error, never cut short.", &http_query_rows, 100000, 1, INT_MAX,
            0);
  DefineInt("tsext.http_query_workers", "Queries over HTTP that may run at a time.",
            "Each is a background worker of its own; see max_worker_processes.",
            &http_query_workers, 4, 0, 64, 0);
}

}  // namespace

TimePrecision UdpPrecision() {
  return static_cast<TimePrecision>(udp_precision);
}

TimePrecision HttpPrecision() {
  return static_cast<TimePrecision>(http_precision);
}

RouterOptions ListenerRouterOptions() {
  RouterOptions options;
  options.keep_ns = keep_ns;
  options.auto_create = auto_create;
  options.auto_add_columns = auto_add_columns;
  options.max_columns = max_columns;
  options.max_tables = max_tables;
  options.max_series = max_series;
  return options;
}

void DefineListenerSettings() {
  DefineCommonSettings();
  DefineUdpSettings();
  DefineHttpSettings();
}

bool SplitListenAddress(const char *text, char *address, char *port) {
  const char *colon = strrchr(text, ':');
  if (colon == nullptr || colon[1] == '\0') return false;
  char *end;
  const long number = strtol(colon + 1, &end, 10);
  if (*end != '\0' || colon[1] < '0' || colon[1] > '9' || number > 65535) return false;
  strcpy(port, colon + 1);
  size_t length = static_cast<size_t>(colon - text);
  if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
    text++;
    length -= 2;
  } else if (memchr(text, ':', length) != nullptr) {
    return false;  // an IPv6 address without brackets
  }
  if (length == 1 && text[0] == '*') length = 0;
  memcpy(address, text, length);
  address[length] = '\0';
  return true;
}

}  // namespace tsext::pg
