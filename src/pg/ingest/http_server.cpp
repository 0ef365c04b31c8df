#include "pg/ingest/http_server.hpp"

#include <arpa/inet.h>
#include <malloc.h>
#include <microhttpd.h>
#include <sys/socket.h>
#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstring>
#include <deque>
#include <list>
#include <new>

namespace tsext::pg {

namespace {

// More connections than the limit are accepted for a moment: the longest idle one makes room.
constexpr unsigned kSpareConnections = 64;
// A body of so many times the limit is not even read to its end.
constexpr size_t kThrownAwayBodies = 4;
// A connection is idle when it has said nothing for so long.
constexpr int64_t kIdleMs = 1000;
// While there are too many connections, room is looked for this often.
constexpr int64_t kMakeRoomMs = 100;
// Memory for bodies of this size and more goes back to the system when they are done.
constexpr int kLargeBodyBytes = 256 * 1024;
constexpr size_t kDecodedStep = 64 * 1024;

int64_t MonotonicMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int64_t WallClockUs() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// What a request became before it was complete.
enum class Verdict : uint8_t { kFine, kTooLarge, kOverloaded, kBadEncoding };
enum class State : uint8_t { kReceiving, kWaiting, kAnswered };

struct Exchange;

struct Connection {
  int socket;
  std::string peer;
  int64_t since_ms;    // of the request that is being received, or of the last answer
  Exchange *exchange;  // nullptr: between two requests
  bool cut;            // shut down by us
  std::list<Connection *>::iterator place;  // in HttpServer::connections
};

struct Exchange : HttpRequest {
  HttpResponse response;
  MHD_Connection *handle = nullptr;
  Connection *connection = nullptr;
  Verdict verdict = Verdict::kFine;
  State state = State::kReceiving;
  bool seen = false;  // the first call of the handler is over
  bool inflates = false;
  bool inflated_to_end = false;
  z_stream inflater{};
  size_t charged = 0;  // bytes of this request in HttpServer::buffered
};

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return std::tolower(static_cast<unsigned char>(x)) ==
                  std::tolower(static_cast<unsigned char>(y));
         });
}

std::string PeerName(const sockaddr *address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    const auto *in = reinterpret_cast<const sockaddr_in *>(address);
    inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(in->sin_port));
  }
  if (address->sa_family == AF_INET6) {
    const auto *in = reinterpret_cast<const sockaddr_in6 *>(address);
    inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(in->sin6_port));
  }
  return {};
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string DecodeForm(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
               HexDigit(text[i + 2]) >= 0) {
      out += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

class HttpServer {
 public:
  MHD_Daemon *daemon = nullptr;
  HttpLimits limits{};
  std::vector<std::pair<std::string, std::string>> headers;
  std::list<Connection *> connections;  // the one that changed longest ago is first
  std::deque<Exchange *> complete;
  size_t buffered = 0;
  // libmicrohttpd does not accept when it is full, and says nothing when it would again.
  int64_t crowded_until_ms = 0;
  bool has_answers = false;  // that libmicrohttpd has not been told of
  HttpServerCounts counts{};

  void Touch(Connection *connection) {
    connection->since_ms = MonotonicMs();
    connections.splice(connections.end(), connections, connection->place);
  }

  /// Makes libmicrohttpd see the end of the stream. It closes the connection by itself.
  static void Cut(Connection *connection) {
    connection->cut = true;
    shutdown(connection->socket, SHUT_RDWR);
  }

  /// Closes the longest idle connections while there are too many. Not one that has only just come:
  /// its request may lie unread in the socket.
  void MakeRoom() {
    if (connections.size() <= limits.connections) return;
    crowded_until_ms = MonotonicMs() + 2 * kIdleMs;
    size_t surplus = connections.size() - limits.connections;
    const int64_t before = MonotonicMs() - kIdleMs;
    for (Connection *connection : connections) {
      if (surplus == 0 || connection->since_ms > before) return;
      if (connection->exchange != nullptr) continue;
      if (!connection->cut) Cut(connection);
      surplus--;
    }
  }

  /// Whether the caller works on the connection's request.
  static bool IsWaiting(const Connection *connection) {
    return connection->exchange != nullptr && connection->exchange->state == State::kWaiting;
  }

  int64_t Deadline(const Connection *connection) const {
    return connection->since_ms +
           (connection->exchange != nullptr ? limits.request_ms : limits.idle_ms);
  }

  void CutLate() {
    const int64_t now = MonotonicMs();
    for (Connection *connection : connections) {
      // An answer that its reader does not take has the same time as a request.
      if (connection->cut || IsWaiting(connection) || Deadline(connection) > now) continue;
      counts.timeouts++;
      Cut(connection);
    }
  }

  bool Charge(Exchange *exchange, size_t bytes) {
    if (buffered + bytes > limits.buffered_bytes) {
      exchange->verdict = Verdict::kOverloaded;
      return false;
    }
    buffered += bytes;
    exchange->charged += bytes;
    return true;
  }

  void Discharge(Exchange *exchange) {
    buffered -= exchange->charged;
    exchange->charged = 0;
    exchange->body = std::string();
  }

  void Append(Exchange *exchange, const char *data, size_t size) {
    std::string &body = exchange->body;
    if (body.size() + size > limits.body_bytes) {
      exchange->verdict = Verdict::kTooLarge;
    } else if (body.size() + size > body.capacity()) {
      const size_t grown =
          std::min(limits.body_bytes, std::max(body.size() + size, 2 * body.capacity()));
      if (Charge(exchange, grown - std::min(grown, exchange->charged))) body.reserve(grown);
    }
    if (exchange->verdict == Verdict::kFine) {
      body.append(data, size);
    } else {
      Discharge(exchange);
    }
  }

  /// One piece of a gzip or zlib body; several members one after the other are one body.
  void Inflate(Exchange *exchange, const char *data, size_t size) {
    z_stream &stream = exchange->inflater;
    char out[kDecodedStep];
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(data));
    stream.avail_in = static_cast<uInt>(size);
    while (exchange->verdict == Verdict::kFine) {
      if (exchange->inflated_to_end) {
        if (stream.avail_in == 0) return;
        if (inflateReset(&stream) != Z_OK) exchange->verdict = Verdict::kBadEncoding;
        exchange->inflated_to_end = false;
      }
      stream.next_out = reinterpret_cast<Bytef *>(out);
      stream.avail_out = sizeof out;
      const int status = inflate(&stream, Z_NO_FLUSH);
      if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
        exchange->verdict = Verdict::kBadEncoding;
        Discharge(exchange);
        return;
      }
      const size_t produced = sizeof out - stream.avail_out;
      if (produced > 0) Append(exchange, out, produced);
      exchange->inflated_to_end = status == Z_STREAM_END;
      if (!exchange->inflated_to_end && stream.avail_out > 0) return;  // all input is used
    }
  }

  void Receive(Exchange *exchange, const char *data, size_t size) {
    counts.bytes += size;
    if (exchange->verdict != Verdict::kFine) return;  // read and thrown away
    if (exchange->inflates) {
      Inflate(exchange, data, size);
    } else {
      Append(exchange, data, size);
    }
  }

  /// Called once a request, when its header is there. False: the answer is known already.
  bool Begin(Exchange *exchange, const char *method) {
    MHD_Connection *handle = exchange->handle;
    HttpRequest &request = *exchange;
    counts.requests++;
    request.method = method;
    request.peer = exchange->connection->peer;
    const auto header = [handle](const char *name) -> std::string {
      const char *value = MHD_lookup_connection_value(handle, MHD_HEADER_KIND, name);
      return value != nullptr ? value : "";
    };
    request.authorization = header("Authorization");
    request.accept = header("Accept");
    request.content_type = header("Content-Type");
    const std::string encoding = header("Content-Encoding");
    const std::string length = header("Content-Length");
    if (EqualsIgnoringCase(encoding, "gzip") || EqualsIgnoringCase(encoding, "x-gzip") ||
        EqualsIgnoringCase(encoding, "deflate")) {
      // 32: gzip and zlib headers are told apart by zlib.
      exchange->inflates = inflateInit2(&exchange->inflater, 15 + 32) == Z_OK;
      if (!exchange->inflates) exchange->verdict = Verdict::kOverloaded;
    } else if (!encoding.empty() && !EqualsIgnoringCase(encoding, "identity")) {
      exchange->verdict = Verdict::kBadEncoding;
    }
    if (!length.empty()) {
      const unsigned long long bytes = strtoull(length.c_str(), nullptr, 10);
      if (bytes > limits.body_bytes) {
        exchange->verdict = Verdict::kTooLarge;
      } else if (buffered + bytes > limits.buffered_bytes) {
        exchange->verdict = Verdict::kOverloaded;
      } else if (!exchange->inflates && bytes > 0 && Charge(exchange, bytes)) {
        request.body.reserve(bytes);
      }
    }
    if (exchange->verdict == Verdict::kFine) return true;
    // A client that is sending already reads its answer afterwards: an answer in the middle, and
    // the end of the connection with it, would be lost. What it sends is thrown away.
    return header("Expect").empty() &&
           strtoull(length.c_str(), nullptr, 10) <= kThrownAwayBodies * limits.body_bytes;
  }

  HttpResponse VerdictResponse(Verdict verdict) {
    HttpResponse response;
    response.content_type = "application/json";
    switch (verdict) {
      case Verdict::kTooLarge:
        counts.too_large++;
        response.status = 413;
        response.body = R"({"code":"request too large","error":"Request Entity Too Large",)"
                        R"("message":"the body is larger than tsext.http_max_body"})";
        break;
      case Verdict::kBadEncoding:
        counts.bad_encoding++;
        response.status = 400;
        response.body = R"({"code":"invalid","error":"the body cannot be decoded",)"
                        R"("message":"the body is not what Content-Encoding says"})";
        break;
      default:
        counts.overloaded++;
        response.status = 503;
        response.headers.emplace_back("Retry-After", "1");
        response.body = R"({"code":"unavailable","error":"too many requests are waiting",)"
                        R"("message":"too many requests are waiting"})";
    }
    return response;
  }

  MHD_Result Queue(Exchange *exchange) {
    HttpResponse &answer = exchange->response;
    exchange->state = State::kAnswered;
    Discharge(exchange);
    Touch(exchange->connection);
    MHD_Response *response = MHD_create_response_from_buffer(answer.body.size(), answer.body.data(),
                                                             MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) return MHD_NO;
    answer.body = std::string();
    for (const auto &[name, value] : headers)
      MHD_add_response_header(response, name.c_str(), value.c_str());
    for (const auto &[name, value] : answer.headers)
      MHD_add_response_header(response, name, value.c_str());
    if (answer.content_type != nullptr)
      MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.content_type);
    const MHD_Result result = MHD_queue_response(exchange->handle, answer.status, response);
    MHD_destroy_response(response);
    return result;
  }

  MHD_Result Handle(Exchange *exchange, MHD_Connection *handle, const char *url, const char *method,
                    const char *data, size_t *size) {
    if (!exchange->seen) {
      exchange->seen = true;
      exchange->handle = handle;
      exchange->path = url;
      MHD_get_connection_values(
          handle, MHD_GET_ARGUMENT_KIND,
          [](void *arguments, MHD_ValueKind, const char *key, const char *value) {
            static_cast<HttpArguments *>(arguments)->emplace_back(key,
                                                                  value != nullptr ? value : "");
            return MHD_YES;
          },
          &exchange->arguments);
      if (Begin(exchange, method)) return MHD_YES;
      exchange->response = VerdictResponse(exchange->verdict);
      return Queue(exchange);
    }
    if (*size != 0) {
      Receive(exchange, data, *size);
      *size = 0;
      return MHD_YES;
    }
    if (exchange->state == State::kReceiving) {
      if (exchange->verdict == Verdict::kFine && exchange->inflates && !exchange->inflated_to_end &&
          exchange->inflater.total_in > 0)
        exchange->verdict = Verdict::kBadEncoding;  // cut off. No byte at all is an empty body
      if (exchange->verdict != Verdict::kFine) {
        exchange->response = VerdictResponse(exchange->verdict);
        return Queue(exchange);
      }
      exchange->state = State::kWaiting;
      exchange->received_us = WallClockUs();
      complete.push_back(exchange);
      MHD_suspend_connection(handle);
      return MHD_YES;
    }
    if (exchange->state == State::kAnswered) return Queue(exchange);
    return MHD_YES;
  }

  void Forget(Exchange *exchange) {
    Discharge(exchange);
    if (exchange->inflates) inflateEnd(&exchange->inflater);
    complete.erase(std::remove(complete.begin(), complete.end(), exchange), complete.end());
    if (exchange->connection != nullptr) {
      exchange->connection->exchange = nullptr;
      Touch(exchange->connection);
    }
    delete exchange;
  }
};

namespace {

Connection *ConnectionOf(MHD_Connection *handle) {
  const MHD_ConnectionInfo *info =
      MHD_get_connection_info(handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info != nullptr ? static_cast<Connection *>(info->socket_context) : nullptr;
}

void OnConnection(void *server_pointer, MHD_Connection *handle, void **context,
                  MHD_ConnectionNotificationCode code) {
  auto *server = static_cast<HttpServer *>(server_pointer);
  try {
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
      const MHD_ConnectionInfo *descriptor =
          MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CONNECTION_FD);
      const int socket = descriptor->connect_fd;
      const MHD_ConnectionInfo *address =
          MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
      auto *connection =
          new Connection{socket, PeerName(address->client_addr), MonotonicMs(), nullptr, false, {}};
      connection->place = server->connections.insert(server->connections.end(), connection);
      *context = connection;
      server->counts.connections++;
    } else if (*context != nullptr) {
      auto *connection = static_cast<Connection *>(*context);
      // A header that never was whole: nobody is told of the request's end.
      if (connection->exchange != nullptr) server->Forget(connection->exchange);
      server->connections.erase(connection->place);
      delete connection;
      *context = nullptr;
    }
  } catch (const std::bad_alloc &) {
    *context = nullptr;  // OnUri refuses the connection's requests
  }
}

/// The request line is there.
void *OnUri(void *server_pointer, const char *, MHD_Connection *handle) {
  auto *server = static_cast<HttpServer *>(server_pointer);
  Connection *connection = ConnectionOf(handle);
  if (connection == nullptr) return nullptr;
  auto *exchange = new (std::nothrow) Exchange;
  if (exchange == nullptr) return nullptr;
  exchange->connection = connection;
  connection->exchange = exchange;
  server->Touch(connection);
  return exchange;
}

MHD_Result OnRequest(void *server_pointer, MHD_Connection *handle, const char *url,
                     const char *method, const char *, const char *data, size_t *size,
                     void **context) {
  auto *exchange = static_cast<Exchange *>(*context);
  if (exchange == nullptr) return MHD_NO;
  try {
    return static_cast<HttpServer *>(server_pointer)
        ->Handle(exchange, handle, url, method, data, size);
  } catch (const std::bad_alloc &) {
    return MHD_NO;
  }
}

void OnCompleted(void *server_pointer, MHD_Connection *, void **context,
                 MHD_RequestTerminationCode) {
  if (*context == nullptr) return;
  static_cast<HttpServer *>(server_pointer)->Forget(static_cast<Exchange *>(*context));
  *context = nullptr;
}

Exchange *ExchangeOf(HttpRequest *request) {
  return static_cast<Exchange *>(request);
}

}  // namespace

std::string_view HttpRequest::Argument(std::string_view name) const {
  for (const auto &[key, value] : arguments) {
    if (key == name) return value;
  }
  return {};
}

bool HttpRequest::HasArgument(std::string_view name) const {
  return std::any_of(arguments.begin(), arguments.end(),
                     [name](const auto &pair) { return pair.first == name; });
}

void ParseForm(std::string_view form, HttpArguments *arguments) {
  while (!form.empty()) {
    const size_t end = std::min(form.find('&'), form.size());
    const std::string_view pair = form.substr(0, end);
    form.remove_prefix(std::min(end + 1, form.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    arguments->emplace_back(DecodeForm(pair.substr(0, equals)),
                            DecodeForm(pair.substr(std::min(equals + 1, pair.size()))));
  }
}

HttpServer *HttpServerStart(int listen_socket, const HttpLimits &limits,
                            std::vector<std::pair<std::string, std::string>> headers,
                            std::string *error) noexcept {
  auto *server = new (std::nothrow) HttpServer;
  if (server == nullptr) {
    *error = "out of memory";
    return nullptr;
  }
  (void)mallopt(M_MMAP_THRESHOLD, kLargeBodyBytes);
  server->limits = limits;
  server->headers = std::move(headers);
  server->daemon = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr, OnRequest, server,
      MHD_OPTION_LISTEN_SOCKET, listen_socket, MHD_OPTION_CONNECTION_LIMIT,
      limits.connections + kSpareConnections, MHD_OPTION_CONNECTION_TIMEOUT, 0U,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, limits.header_bytes,
      MHD_OPTION_CONNECTION_MEMORY_INCREMENT, limits.header_bytes / 4, MHD_OPTION_NOTIFY_COMPLETED,
      OnCompleted, server, MHD_OPTION_NOTIFY_CONNECTION, OnConnection, server,
      MHD_OPTION_URI_LOG_CALLBACK, OnUri, server, MHD_OPTION_END);
  if (server->daemon == nullptr) {
    *error = strerror(errno);
    delete server;
    return nullptr;
  }
  return server;
}

void HttpServerSetLimits(HttpServer *server, const HttpLimits &limits) noexcept {
  // The number of connections and the header's size belong to the daemon from its start.
  const HttpLimits started = server->limits;
  server->limits = limits;
  server->limits.connections = std::min(limits.connections, started.connections);
  server->limits.header_bytes = started.header_bytes;
}

int HttpServerPollDescriptor(HttpServer *server) noexcept {
  return MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->listen_fd;
}

int64_t HttpServerTimeout(HttpServer *server) noexcept {
  if (server->has_answers) return 0;
  MHD_UNSIGNED_LONG_LONG wished;
  if (MHD_get_timeout(server->daemon, &wished) == MHD_YES && wished == 0) return 0;
  const int64_t now = MonotonicMs();
  int64_t next = now < server->crowded_until_ms ? kMakeRoomMs : -1;
  for (const Connection *connection : server->connections) {
    if (connection->cut || HttpServer::IsWaiting(connection)) continue;
    const int64_t left = std::max<int64_t>(1, server->Deadline(connection) - now);
    if (next < 0 || left < next) next = left;
  }
  return next;
}

void HttpServerRun(HttpServer *server) noexcept {
  server->CutLate();
  server->MakeRoom();
  server->has_answers = false;
  (void)MHD_run(server->daemon);
}

HttpRequest *HttpServerNext(HttpServer *server) noexcept {
  if (server->complete.empty()) return nullptr;
  Exchange *exchange = server->complete.front();
  server->complete.pop_front();
  return exchange;
}

void HttpServerAnswer(HttpServer *server, HttpRequest *request, HttpResponse response) noexcept {
  Exchange *exchange = ExchangeOf(request);
  exchange->response = std::move(response);
  exchange->state = State::kAnswered;
  server->Touch(exchange->connection);
  server->has_answers = true;
  MHD_resume_connection(exchange->handle);
}

unsigned HttpServerConnections(HttpServer *server) noexcept {
  return static_cast<unsigned>(server->connections.size());
}

HttpServerCounts HttpServerCount(HttpServer *server) noexcept {
  return server->counts;
}

void HttpServerStop(HttpServer *server) noexcept {
  for (Connection *connection : server->connections) {
    Exchange *exchange = connection->exchange;
    if (exchange == nullptr || exchange->state != State::kWaiting) continue;
    HttpServer::Cut(connection);
    exchange->state = State::kAnswered;
    exchange->response.status = 503;
    MHD_resume_connection(exchange->handle);
  }
  (void)MHD_run(server->daemon);
  MHD_stop_daemon(server->daemon);
  delete server;
}

}  // namespace tsext::pg
