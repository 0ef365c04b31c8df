// A deterministic generator of host metrics, shaped like the "cpu-only" set of the Time Series
// Benchmark Suite.
//
//   tsgen --hosts 100 --seconds 259200 --step 10 --values int --csv cpu.csv --line cpu.lp
//
// One reading of every host per tick; ticks in time order, hosts in order within a tick. Ten text
// tags, fixed for a host, and ten metrics a reading. The same seed gives the same walk whatever is
// written. Models of the values (--values):
//
//   int   a random walk, steps N(0, 1), kept in [0, 100], cut to an integer when written
//   dec   like sensors: a slow walk and read-out noise, written with 1 to 3 decimals by column
//   raw   the walk of "int" with all 17 significant digits

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace {

constexpr int kMetricCount = 10;
constexpr std::array<const char *, 10> kTags = {
    "hostname", "region",          "datacenter",         "rack", "os", "arch", "team",
    "service",  "service_version", "service_environment"};
constexpr std::array<const char *, kMetricCount> kMetrics = {
    "usage_user", "usage_system",  "usage_idle",  "usage_nice",  "usage_iowait",
    "usage_irq",  "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice"};

struct Region {
  const char *name;
  const char *zones;
};
constexpr std::array<Region, 9> kRegions = {{{"us-east-1", "abce"},
                                             {"us-west-1", "ab"},
                                             {"us-west-2", "abc"},
                                             {"eu-west-1", "abc"},
                                             {"eu-central-1", "ab"},
                                             {"ap-southeast-1", "ab"},
                                             {"ap-southeast-2", "ab"},
                                             {"ap-northeast-1", "ac"},
                                             {"sa-east-1", "abc"}}};
constexpr std::array<const char *, 3> kSystems = {"Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"};
constexpr std::array<const char *, 2> kArchitectures = {"x64", "x86"};
constexpr std::array<const char *, 4> kTeams = {"SF", "NYC", "LON", "CHI"};
constexpr std::array<const char *, 3> kEnvironments = {"production", "staging", "test"};

// The model "dec": decimals written, standard deviation of the walk's step and of the noise.
constexpr std::array<int, kMetricCount> kDecimals = {1, 2, 3, 1, 2, 3, 1, 2, 1, 2};
constexpr std::array<double, kMetricCount> kStep = {0.05, 0.05, 0.02, 0.2,  0.5,
                                                    0.1,  1.0,  2.0,  0.02, 0.1};
constexpr std::array<double, kMetricCount> kNoise = {0, 0.02, 0.005, 0, 0.1, 0, 0, 0.5, 0.05, 0};

/// xoshiro256++, seeded by splitmix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t &word : state_) {
      seed += 0x9e3779b97f4a7c15ull;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
      word = z ^ (z >> 31);
    }
  }

  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

  unsigned Below(size_t n) {
    return static_cast<unsigned>((static_cast<__uint128_t>(Next()) * n) >> 64);
  }

  /// N(0, 1) by the polar method.
  double Normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    double u;
    double v;
    double q;
    do {
      u = 2 * Uniform() - 1;
      v = 2 * Uniform() - 1;
      q = u * u + v * v;
    } while (q >= 1 || q == 0);
    const double f = std::sqrt(-2 * std::log(q) / q);
    spare_ = v * f;
    has_spare_ = true;
    return u * f;
  }

 private:
  static uint64_t RotateLeft(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

  uint64_t Next() {
    const uint64_t result = RotateLeft(state_[0] + state_[3], 23) + state_[0];
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = RotateLeft(state_[3], 45);
    return result;
  }

  std::array<uint64_t, 4> state_{};
  bool has_spare_ = false;
  double spare_ = 0;
};

enum class Model { kInteger, kDecimal, kRaw };

struct Settings {
  unsigned hosts = 100;
  long seconds = 259200;
  long step = 10;
  long start = 1451606400;  // 2016-01-01 UTC
  uint64_t seed = 123;
  Model model = Model::kInteger;
  std::string csv;
  std::string line;
};

struct Host {
  std::string csv_tags;
  std::string line_tags;
  std::array<double, kMetricCount> values;
};

/// x with `decimals` digits after the point, without trailing zeros: "12.5", not "12.500".
std::string FixedPoint(double x, int decimals) {
  std::array<char, 40> text;
  int length = std::snprintf(text.data(), text.size(), "%.*f", decimals,
                             std::round(x * std::pow(10, decimals)) / std::pow(10, decimals));
  while (text[static_cast<size_t>(length) - 1] == '0') length--;
  if (text[static_cast<size_t>(length) - 1] == '.') length--;
  const std::string result(text.data(), static_cast<size_t>(length));
  return result == "-0" ? "0" : result;
}

std::string RawDouble(double x) {
  std::array<char, 40> text;
  const int length = std::snprintf(text.data(), text.size(), "%.17g", x);
  return {text.data(), static_cast<size_t>(length)};
}

Host MakeHost(unsigned number, Random *random) {
  const Region &region = kRegions[random->Below(kRegions.size())];
  std::array<std::string, 10> tags;
  tags[0] = "host_" + std::to_string(number);
  tags[1] = region.name;
  tags[2] = std::string(region.name) + region.zones[random->Below(std::strlen(region.zones))];
  tags[3] = std::to_string(random->Below(100));
  tags[4] = kSystems[random->Below(kSystems.size())];
  tags[5] = kArchitectures[random->Below(kArchitectures.size())];
  tags[6] = kTeams[random->Below(kTeams.size())];
  tags[7] = std::to_string(random->Below(20));
  tags[8] = std::to_string(random->Below(2));
  tags[9] = kEnvironments[random->Below(kEnvironments.size())];
  Host host;
  host.line_tags = "cpu";
  for (size_t i = 0; i < tags.size(); i++) {
    host.csv_tags += "," + tags[i];
    host.line_tags += std::string(",") + kTags[i] + "=" + tags[i];
    host.values[i] = random->Uniform() * 100;
  }
  return host;
}

/// Walks one step and gives the reading as text.
std::string NextReading(Host *host, size_t metric, Model model, Random *random) {
  const double deviation = model == Model::kDecimal ? kStep[metric] : 1.0;
  double &value = host->values[metric];
  value = std::fmin(100, std::fmax(0, value + deviation * random->Normal()));
  switch (model) {
    case Model::kInteger:
      return std::to_string(static_cast<long>(value));
    case Model::kDecimal: {
      const double noise = kNoise[metric] > 0 ? kNoise[metric] * random->Normal() : 0;
      return FixedPoint(value + noise, kDecimals[metric]);
    }
    case Model::kRaw:
      return RawDouble(value);
  }
  std::abort();
}

void Generate(const Settings &settings, std::FILE *csv, std::FILE *line) {
  Random random(settings.seed);
  std::vector<Host> hosts;
  for (unsigned number = 0; number < settings.hosts; number++) {
    hosts.push_back(MakeHost(number, &random));
  }
  std::string csv_row;
  std::string line_row;
  for (long now = settings.start; now < settings.start + settings.seconds; now += settings.step) {
    const std::time_t seconds = now;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    std::array<char, 40> stamp;
    const size_t stamp_length =
        std::strftime(stamp.data(), stamp.size(), "%Y-%m-%d %H:%M:%S+00", &parts);
    for (Host &host : hosts) {
      csv_row.assign(stamp.data(), stamp_length);
      csv_row += host.csv_tags;
      line_row = host.line_tags + " ";
      for (size_t metric = 0; metric < kMetricCount; metric++) {
        const std::string reading = NextReading(&host, metric, settings.model, &random);
        csv_row += "," + reading;
        line_row += (metric > 0 ? "," : "") + std::string(kMetrics[metric]) + "=" + reading;
        if (settings.model == Model::kInteger) line_row += "i";
      }
      csv_row += "\n";
      line_row += " " + std::to_string(now) + "000000000\n";
      if (csv != nullptr) std::fwrite(csv_row.data(), 1, csv_row.size(), csv);
      if (line != nullptr) std::fwrite(line_row.data(), 1, line_row.size(), line);
    }
  }
}

bool ReadArguments(int argc, char **argv, Settings *settings) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    const std::string value = argv[i + 1];
    if (key == "--hosts") {
      settings->hosts = static_cast<unsigned>(std::stoul(value));
    } else if (key == "--seconds") {
      settings->seconds = std::stol(value);
    } else if (key == "--step") {
      settings->step = std::stol(value);
    } else if (key == "--start") {
      settings->start = std::stol(value);
    } else if (key == "--seed") {
      settings->seed = std::stoull(value);
    } else if (key == "--csv") {
      settings->csv = value;
    } else if (key == "--line") {
      settings->line = value;
    } else if (key == "--values" && (value == "int" || value == "dec" || value == "raw")) {
      settings->model = value == "int"   ? Model::kInteger
                        : value == "dec" ? Model::kDecimal
                                         : Model::kRaw;
    } else {
      std::fprintf(stderr, "unknown: %s %s\n", key.c_str(), value.c_str());
      return false;
    }
  }
  return true;
}

std::FILE *Open(const std::string &path) {
  if (path.empty()) return nullptr;
  std::FILE *file = std::fopen(path.c_str(), "w");
  if (file == nullptr) {
    std::perror(path.c_str());
    std::exit(1);
  }
  return file;
}

bool Close(std::FILE *file) {
  return file == nullptr || (std::ferror(file) == 0) & (std::fclose(file) == 0);
}

}  // namespace

int main(int argc, char **argv) {
  Settings settings;
  if (!ReadArguments(argc, argv, &settings)) return 2;
  std::FILE *csv = Open(settings.csv);
  std::FILE *line = Open(settings.line);
  Generate(settings, csv, line);
  const bool written = Close(csv) & Close(line);
  if (!written) std::fprintf(stderr, "could not write\n");
  return written ? 0 : 1;
}
