#pragma once

// Small texts of HTTP: credentials, JSON strings, header values. No PostgreSQL.

#include <string>
#include <string_view>

namespace tsext::pg {

struct Credentials {
  bool given = false;
  std::string name;  // "" when only a secret was sent
  std::string secret;
};

/// From the header Authorization (Basic, Token, Bearer), else from the arguments u and p.
Credentials ReadCredentials(std::string_view authorization, std::string_view u, std::string_view p);

/// Appends `text` as a JSON string in quotes; bytes that are not UTF-8 become U+FFFD.
void AppendJson(std::string *out, std::string_view text);
/// At most `size` bytes, cut between two characters, "…" behind when it was longer.
std::string Clip(std::string_view text, size_t size);
/// As the value of a header: printable ASCII, at most 500 bytes.
std::string HeaderValue(std::string_view text);
bool StartsWithIgnoringCase(std::string_view text, std::string_view start);

}  // namespace tsext::pg
