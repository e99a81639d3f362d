// Where a case's time goes, as a line on stderr that the harness finds in the submission's log; `models/phases.py`
// says what each word means.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

/// Seconds on the monotonic clock.
inline double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Seconds since the kernel started this process, to a hundredth; 0 where it does not tell.
double process_age_s();

/// What one case took: seconds of wall time on the main thread, slices encoded, boxes decoded.
struct Phases {
  double import_s = 0, load_s = 0, read_s = 0, encode_s = 0, decode_s = 0, write_s = 0;
  std::size_t slices = 0, masks = 0;

  /// The line; `whole_s` is what the case took since the line before, its part before import_s left out.
  std::string line(const std::string& name, double whole_s) const;
};

/// Adds its own lifetime to a phase.
class Within {
 public:
  explicit Within(double& phase_s) : phase_s_(phase_s), since_s_(now_s()) {}
  ~Within() { phase_s_ += now_s() - since_s_; }
  Within(const Within&) = delete;
  Within& operator=(const Within&) = delete;

 private:
  double& phase_s_;
  double since_s_;
};
