#include "pg/ingest/http_text.hpp"

#include <algorithm>
#include <cstdio>

namespace tsext::pg {

namespace {

constexpr size_t kHeaderValueBytes = 500;

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

int Base64Digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

std::string DecodeBase64(std::string_view text) {
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = Base64Digit(c);
    if (digit < 0) break;
    bits = bits << 6 | static_cast<unsigned>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xff);
    }
  }
  return out;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

void SplitAtColon(std::string_view pair, Credentials *credentials) {
  const size_t colon = pair.find(':');
  if (colon == std::string_view::npos) {
    credentials->secret = pair;
  } else {
    credentials->name = pair.substr(0, colon);
    credentials->secret = pair.substr(colon + 1);
  }
}

/// Length of the UTF-8 sequence at the start of `text`, 0: it is none.
size_t SequenceLength(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; i++) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
      (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f))
    return 0;
  return length;
}

}  // namespace

bool StartsWithIgnoringCase(std::string_view text, std::string_view start) {
  return text.size() >= start.size() &&
         std::equal(start.begin(), start.end(), text.begin(),
                    [](char a, char b) { return Lower(a) == Lower(b); });
}

Credentials ReadCredentials(std::string_view authorization, std::string_view u,
                            std::string_view p) {
  Credentials credentials;
  const std::string_view header = Trim(authorization);
  if (StartsWithIgnoringCase(header, "Basic ")) {
    SplitAtColon(DecodeBase64(Trim(header.substr(6))), &credentials);
  } else if (StartsWithIgnoringCase(header, "Token ")) {
    SplitAtColon(Trim(header.substr(6)), &credentials);
  } else if (StartsWithIgnoringCase(header, "Bearer ")) {
    credentials.secret = Trim(header.substr(7));
  } else {
    credentials.name = u;
    credentials.secret = p;
  }
  credentials.given = !credentials.secret.empty();
  return credentials;
}

void AppendJson(std::string *out, std::string_view text) {
  *out += '"';
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    const char c = text.front();
    if (length == 0) {
      *out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      *out += '\\';
      *out += c;
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c == '\r') {
      *out += "\\r";
    } else if (c == '\t') {
      *out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      (void)std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      *out += escape;
    } else {
      *out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  *out += '"';
}

std::string Clip(std::string_view text, size_t size) {
  if (text.size() <= size) return std::string(text);
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) size--;
  return std::string(text.substr(0, size)) + "…";
}

std::string HeaderValue(std::string_view text) {
  std::string out(text.substr(0, std::min(text.size(), kHeaderValueBytes)));
  for (char &c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

}  // namespace tsext::pg
