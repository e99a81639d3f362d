#include "phases.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>

double process_age_s() {
  std::ifstream stream("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  // The second field is a name, which may hold spaces and brackets; the start time is the 22nd.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  constexpr int name_field = 2, start_field = 22;
  for (int i = name_field; i < start_field; ++i) fields >> field;
  timespec since_boot{};
  char* end = nullptr;
  const unsigned long long ticks = std::strtoull(field.c_str(), &end, 10);
  if (end == field.c_str() || ::clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) return 0;
  const double now = static_cast<double>(since_boot.tv_sec) + 1e-9 * static_cast<double>(since_boot.tv_nsec);
  return std::max(0.0, now - static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK)));
}

std::string Phases::line(const std::string& name, double whole_s) const {
  const double other_s = std::max(0.0, whole_s - load_s - read_s - encode_s - decode_s - write_s);
  char figures[400];
  std::snprintf(figures, sizeof figures,
                " import %.3f load %.3f read %.3f encode %.3f decode %.3f other %.3f write %.3f slices %zu masks %zu",
                import_s, load_s, read_s, encode_s, decode_s, other_s, write_s, slices, masks);
  return "phases " + name + figures;
}
