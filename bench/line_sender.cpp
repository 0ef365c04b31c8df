// Sends line protocol as fast as it is taken (HTTP) or at a rate (UDP), to tsext and to its peers
// alike.
//
//   line_sender http PORT PATH small|cpu LINES LINES_A_BODY CONNECTIONS
//   line_sender udp PORT small|cpu LINES LINES_A_SECOND SECONDS DATAGRAM_BYTES
//
// LINES are made before the clock starts; UDP sends them again and again. Prints "lines seconds".

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void Fail(const std::string &what) {
  std::fprintf(stderr, "line_sender: %s\n", what.c_str());
  std::exit(1);
}

/// One line without its end; the same as bench/ingest.py expects.
std::string MakeLine(bool is_cpu, int64_t i) {
  char line[600];
  if (!is_cpu) {
    std::snprintf(line, sizeof line, "temperature,room=r%d value=%d.5 %lld", int(i % 100),
                  int(i % 40), 1700000000000000000LL + static_cast<long long>(i) * 1000000);
    return line;
  }
  static const char *const kFields[] = {"user",    "system", "idle",  "nice",       "iowait",
                                        "softirq", "steal",  "guest", "guest_nice", "irq"};
  int length = std::snprintf(
      line, sizeof line,
      "cpu,hostname=host_%d,region=eu-central-1,datacenter=eu-central-1a,rack=6,os=Ubuntu15.10,"
      "arch=x86,team=SF,service=19,service_version=1,service_environment=test ",
      int(i % 100));
  for (int k = 0; k < 10; k++)
    length += std::snprintf(line + length, sizeof line - length, "%susage_%s=%di", k > 0 ? "," : "",
                            kFields[k], int(i * (7 * k + 3) % 101));
  std::snprintf(line + length, sizeof line - length, " %lld",
                1700000000000000000LL + static_cast<long long>(i / 100) * 10000000000LL);
  return line;
}

int Connect(int type, int port) {
  const int descriptor = socket(AF_INET, type, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  if (connect(descriptor, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0)
    Fail("could not connect");
  return descriptor;
}

void SendAll(int descriptor, const std::string &text) {
  for (size_t at = 0; at < text.size();) {
    const ssize_t sent = send(descriptor, text.data() + at, text.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) Fail("the connection broke");
    at += static_cast<size_t>(sent);
  }
}

/// Reads one answer without a body and wants it to be 204.
void WantNoContent(int descriptor, std::string *buffer) {
  size_t end;
  while ((end = buffer->find("\r\n\r\n")) == std::string::npos) {
    char part[4096];
    const ssize_t got = recv(descriptor, part, sizeof part, 0);
    if (got <= 0) Fail("no answer");
    buffer->append(part, static_cast<size_t>(got));
  }
  if (buffer->compare(9, 3, "204") != 0) Fail("answered " + *buffer);
  buffer->erase(0, end + 4);
}

int SendHttp(char **arguments) {
  const int port = std::atoi(arguments[0]);
  const std::string path = arguments[1];
  const bool is_cpu = std::strcmp(arguments[2], "cpu") == 0;
  const int64_t lines = std::atoll(arguments[3]), body_lines = std::atoll(arguments[4]);
  const int connections = std::atoi(arguments[5]);
  std::vector<std::string> requests;
  for (int64_t i = 0; i < lines; i += body_lines) {
    std::string body;
    for (int64_t k = i; k < i + body_lines && k < lines; k++) body += MakeLine(is_cpu, k) + "\n";
    requests.push_back("POST " + path + " HTTP/1.1\r\nHost: bench\r\nContent-Length: " +
                       std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (int c = 0; c < connections; c++) {
    threads.emplace_back([&, c] {
      const int descriptor = Connect(SOCK_STREAM, port);
      const int on = 1;
      setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      std::string buffer;
      for (size_t i = static_cast<size_t>(c); i < requests.size();
           i += static_cast<size_t>(connections)) {
        SendAll(descriptor, requests[i]);
        WantNoContent(descriptor, &buffer);
      }
      close(descriptor);
    });
  }
  for (std::thread &thread : threads) thread.join();
  std::printf("%lld %.4f\n", static_cast<long long>(lines), SecondsSince(start));
  return 0;
}

int SendUdp(char **arguments) {
  const int port = std::atoi(arguments[0]);
  const bool is_cpu = std::strcmp(arguments[1], "cpu") == 0;
  const int64_t lines = std::atoll(arguments[2]);
  const double rate = std::atof(arguments[3]), seconds = std::atof(arguments[4]);
  const size_t most = static_cast<size_t>(std::atoll(arguments[5]));
  std::vector<std::pair<std::string, int>> datagrams;
  for (int64_t i = 0; i < lines; i++) {
    const std::string line = MakeLine(is_cpu, i) + "\n";
    if (datagrams.empty() || datagrams.back().first.size() + line.size() > most)
      datagrams.emplace_back("", 0);
    datagrams.back().first += line;
    datagrams.back().second++;
  }
  const int descriptor = Connect(SOCK_DGRAM, port);
  const auto start = Clock::now();
  int64_t sent = 0;
  for (size_t at = 0;; at = (at + 1) % datagrams.size()) {
    const double now = SecondsSince(start);
    if (now >= seconds) break;
    // A millisecond's worth ahead of the clock, then a nap.
    if (static_cast<double>(sent) > rate * (now + 0.001)) {
      std::this_thread::sleep_for(std::chrono::microseconds(500));
      at = (at + datagrams.size() - 1) % datagrams.size();
      continue;
    }
    const auto &[text, count] = datagrams[at];
    if (send(descriptor, text.data(), text.size(), 0) < 0) Fail("could not send");
    sent += count;
  }
  std::printf("%lld %.4f\n", static_cast<long long>(sent), SecondsSince(start));
  return 0;
}

}  // namespace

int main(int count, char **arguments) {
  if (count == 8 && std::strcmp(arguments[1], "http") == 0) return SendHttp(arguments + 2);
  if (count == 8 && std::strcmp(arguments[1], "udp") == 0) return SendUdp(arguments + 2);
  std::fprintf(stderr, "usage: see the head of line_sender.cpp\n");
  return 2;
}
