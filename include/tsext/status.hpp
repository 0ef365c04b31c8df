#pragma once

// The result of an operation that may fail for a reason the caller can report.

#include <cstdint>

namespace tsext {

enum class StatusCode : uint8_t {
  kOk = 0,
  kCorrupt,      ///< bytes that no writer of ours produces: a length, width, offset or checksum is
                 ///< wrong
  kUnsupported,  ///< written by a newer version of tsext than this one
  kInvalid,      ///< the caller's argument is outside its domain
  kTooLarge,     ///< a limit of the format would be exceeded
};

/// Plain value, two words, no ownership. `message` is a string literal in lower case without a full
/// stop, fit to be a PostgreSQL errdetail fragment; empty when ok.
class [[nodiscard]] Status {
 public:
  constexpr Status() noexcept = default;
  constexpr Status(StatusCode code, const char *message) noexcept
      : message_(message), code_(code) {}

  static constexpr Status Ok() noexcept { return {}; }
  static constexpr Status Corrupt(const char *message) noexcept {
    return {StatusCode::kCorrupt, message};
  }
  static constexpr Status Unsupported(const char *message) noexcept {
    return {StatusCode::kUnsupported, message};
  }
  static constexpr Status Invalid(const char *message) noexcept {
    return {StatusCode::kInvalid, message};
  }
  static constexpr Status TooLarge(const char *message) noexcept {
    return {StatusCode::kTooLarge, message};
  }

  constexpr bool ok() const noexcept { return code_ == StatusCode::kOk; }
  constexpr StatusCode code() const noexcept { return code_; }
  constexpr const char *message() const noexcept { return message_; }

 private:
  const char *message_ = "";
  StatusCode code_ = StatusCode::kOk;
};

}  // namespace tsext

/// Returns from the calling function when `expression` is a failed Status.
#define TSEXT_RETURN_IF_ERROR(expression)                                      \
  do {                                                                         \
    if (const ::tsext::Status tsext_status = (expression); !tsext_status.ok()) \
      return tsext_status;                                                     \
  } while (false)
