#pragma once

// The HTTP side of the listener: libmicrohttpd in a loop of the caller's, without threads and
// without PostgreSQL. Its callbacks copy (and inflate) what arrives and suspend the connection; the
// caller takes whole requests from Next(), works on them outside of libmicrohttpd and answers.
// Nothing here may raise an error: these frames lie under C frames that know no exceptions.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tsext::pg {

struct HttpLimits {
  unsigned connections;
  size_t header_bytes;    // of one request
  size_t body_bytes;      // of one request, inflated
  size_t buffered_bytes;  // of all requests that are being received or worked on
  int64_t request_ms;     // from the request line to the last byte of the body
  int64_t idle_ms;        // until the next request line
};

using HttpArguments = std::vector<std::pair<std::string, std::string>>;

/// A request as it was received: complete when Next() returns it.
struct HttpRequest {
  std::string method, path, peer;
  HttpArguments arguments;
  std::string authorization, accept, content_type;
  std::string body;
  int64_t received_us = 0;  // Unix time of the last byte

  /// Value of an argument of the URI, "" when it is absent.
  std::string_view Argument(std::string_view name) const;
  bool HasArgument(std::string_view name) const;
};

struct HttpResponse {
  unsigned status = 204;
  const char *content_type = nullptr;
  std::vector<std::pair<const char *, std::string>> headers;
  std::string body;
};

/// Appends the pairs of an application/x-www-form-urlencoded text.
void ParseForm(std::string_view form, HttpArguments *arguments);

/// What happened so far, for the counters.
struct HttpServerCounts {
  uint64_t connections, requests, too_large, overloaded, timeouts, bad_encoding, bytes;
};

class HttpServer;

/// Takes over `listen_socket`. `headers` are sent with every answer. nullptr: libmicrohttpd would
/// not start; `error` tells why.
HttpServer *HttpServerStart(int listen_socket, const HttpLimits &limits,
                            std::vector<std::pair<std::string, std::string>> headers,
                            std::string *error) noexcept;
void HttpServerSetLimits(HttpServer *server, const HttpLimits &limits) noexcept;
/// To wait on: readable when HttpServerRun() has something to do.
int HttpServerPollDescriptor(HttpServer *server) noexcept;
/// Milliseconds after which HttpServerRun() must be called anyway; -1: never.
int64_t HttpServerTimeout(HttpServer *server) noexcept;
void HttpServerRun(HttpServer *server) noexcept;
/// The next complete request, nullptr when there is none. It lives until it is answered.
HttpRequest *HttpServerNext(HttpServer *server) noexcept;
/// Sends the answer in the next HttpServerRun() and forgets the request.
void HttpServerAnswer(HttpServer *server, HttpRequest *request, HttpResponse response) noexcept;
unsigned HttpServerConnections(HttpServer *server) noexcept;
HttpServerCounts HttpServerCount(HttpServer *server) noexcept;
/// Closes everything; requests that are not answered are gone.
void HttpServerStop(HttpServer *server) noexcept;

}  // namespace tsext::pg
