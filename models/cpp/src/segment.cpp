#include "segment.hpp"

#include <algorithm>
#include <list>
#include <map>

namespace {

/// Embeddings that MedficientSAM's cache holds.
constexpr std::size_t published_cache = 1024;
/// Boxes whose left-out slices are interpolated in the same sweeps: each holds up to 512 KiB of logits meanwhile.
constexpr std::size_t interpolated_at_once = 512;

/// One box on its way up or down.
struct Track {
  Prompt prompt;              ///< for the next slice that it visits
  std::size_t z = 0;          ///< the slice that it visited last
  std::vector<float> logits;  ///< of that slice, where slices left out are to be interpolated; empty before the first
};

/// One box through a volume.
struct Chain {
  std::size_t number;
  SliceRange slices;
  Prompt prompt;  ///< of the box itself
  Track up, down;
};

/// The slices that a box visits between two, these included, ascending.  The grid is common to all boxes, so that they
/// share encodings.
std::vector<std::size_t> visited(std::size_t low, std::size_t high, std::size_t stride) {
  std::vector<std::size_t> slices;
  for (std::size_t z = low; z <= high; ++z)
    if (z == low || z == high || z % stride == 0) slices.push_back(z);
  return slices;
}

/// The slices between two visited ones get what lies between these two's logits.
std::vector<float> between(const float* low, const float* high, float share) {
  std::vector<float> mixed(Network::logits_area);
  std::transform(low, low + mixed.size(), high, mixed.begin(),
                 [&](float a, float b) { return (1.0f - share) * a + share * b; });
  return mixed;
}

class Segmenter {
 public:
  Segmenter(const Case& of, const Pipeline& pipeline, Network& network, std::size_t kept, Labels& labels,
            Phases& phases)
      : case_(of), pipeline_(pipeline), network_(network), max_kept_(kept), labels_(labels), phases_(phases) {}

  void image() {
    const Embedding embedding = encode(0);
    for (std::size_t i = 0; i < case_.boxes.size(); ++i) {
      const Box& box = case_.boxes[i];
      const float* logits = decode(embedding, prompt_of(box, size(), pipeline_));
      const Mask mask = mask_of(logits, Network::logits_side, size(), pipeline_);
      labels_.paint(0, pipeline_.clipped_to_box ? clipped(mask, box) : mask, i + 1);
    }
  }

  void volume() {
    const std::size_t count = case_.boxes.size(), at_once = pipeline_.stride == 1 ? count : interpolated_at_once;
    for (std::size_t from = 0; from < count; from += at_once) {
      chains_.clear();
      for (std::size_t i = from; i < std::min(from + at_once, count); ++i) {
        const Prompt prompt = prompt_of(case_.boxes[i], size(), pipeline_);
        const Track track{prompt, 0, {}};
        chains_.push_back({i + 1, slices_of(case_.boxes[i], case_.depth, pipeline_), prompt, track, track});
      }
      pipeline_.stale_embeddings ? in_published_order() : in_step();
    }
  }

 private:
  using Visitors = std::map<std::size_t, std::vector<Chain*>>;

  Size size() const { return {case_.height, case_.width}; }

  std::vector<std::size_t> upwards(const Chain& chain) const {
    return visited(chain.slices.middle, chain.slices.last, pipeline_.stride);
  }
  /// Downwards from the middle, which has been visited on the way up.
  std::vector<std::size_t> downwards(const Chain& chain) const {
    std::vector<std::size_t> slices = visited(chain.slices.first, chain.slices.middle, pipeline_.stride);
    slices.pop_back();
    std::reverse(slices.begin(), slices.end());
    return slices;
  }

  /// All chains move together, so that a slice is encoded once for all of its boxes.
  void in_step() {
    Visitors up, down;
    for (Chain& chain : chains_) {
      for (const std::size_t z : upwards(chain)) up[z].push_back(&chain);
      for (const std::size_t z : downwards(chain)) down[z].push_back(&chain);
    }
    std::map<std::size_t, Embedding> kept;  // from the ascending sweep for the descending one
    for (const auto& [z, chains] : up) {
      const Embedding embedding = encode(z);
      if (down.count(z) > 0 && kept.size() < max_kept_) kept.emplace(z, embedding);
      step(embedding, z, chains, &Chain::up);
      for (Chain* chain : chains)
        if (chain->slices.middle == z) chain->down = chain->up;
    }
    for (auto visit = down.rbegin(); visit != down.rend(); ++visit) {
      const auto found = kept.find(visit->first);
      const Embedding embedding = found == kept.end() ? encode(visit->first) : found->second;
      step(embedding, visit->first, visit->second, &Chain::down);
      kept.erase(visit->first);
    }
  }

  /// Box after box, each upwards and then downwards: which embedding a slice gets depends on the order.
  void in_published_order() {
    for (Chain& chain : chains_) {
      const auto visit = [&](std::size_t z, Track Chain::*moving) {
        const auto found = std::find(cached_.begin(), cached_.end(), z);
        if (found == cached_.end()) {
          latest_ = encode(z);
        } else {
          cached_.erase(found);
        }
        cached_.push_back(z);
        if (cached_.size() > published_cache) cached_.pop_front();
        step(latest_, z, {&chain}, moving);
      };
      for (const std::size_t z : upwards(chain)) {
        visit(z, &Chain::up);
        if (z == chain.slices.middle) chain.down = chain.up;
      }
      for (const std::size_t z : downwards(chain)) visit(z, &Chain::down);
      chain.up.logits = chain.down.logits = {};
    }
  }

  /// Decodes these chains on a slice and moves them on.
  void step(const Embedding& embedding, std::size_t z, const std::vector<Chain*>& chains, Track Chain::*moving) {
    for (Chain* chain : chains) advance(*chain, moving, z, decode(embedding, (chain->*moving).prompt));
  }

  /// Paints a chain's slice, and the slices that it left out before it.
  void advance(Chain& chain, Track Chain::*moving, std::size_t z, const float* logits) {
    Track& track = chain.*moving;
    const Mask mask = mask_of(logits, Network::logits_side, size(), pipeline_);
    paint(chain, z, mask);
    if (!track.logits.empty()) {
      const bool up = z > track.z;
      const std::size_t low = up ? track.z : z, high = up ? z : track.z;
      const float* low_logits = up ? track.logits.data() : logits;
      const float* high_logits = up ? logits : track.logits.data();
      for (std::size_t left_out = low + 1; left_out < high; ++left_out) {
        const double share = static_cast<double>(left_out - low) / static_cast<double>(high - low);
        const std::vector<float> mixed = between(low_logits, high_logits, static_cast<float>(share));
        paint(chain, left_out, mask_of(mixed.data(), Network::logits_side, size(), pipeline_));
      }
    }
    track.prompt = next_prompt(mask, chain.number, size(), pipeline_).value_or(chain.prompt);
    track.z = z;
    if (pipeline_.stride > 1) track.logits.assign(logits, logits + Network::logits_area);
  }

  /// As published, an object of a volume is painted where its own 8-bit labels are above 0: not object 256.
  void paint(const Chain& chain, std::size_t z, const Mask& mask) {
    if (pipeline_.label_bits != 8 || chain.number % 256 != 0) labels_.paint(z, mask, chain.number);
  }

  Embedding encode(std::size_t z) {
    const View<std::uint8_t> slice{case_.slice(z), case_.height, case_.width, case_.channels};
    std::vector<float> square = network_input(slice, pipeline_);
    const Within encoding(phases_.encode_s);
    ++phases_.slices;
    return network_.encode(square);
  }

  /// Logits of a prompt, valid until the next.
  const float* decode(const Embedding& embedding, Prompt prompt) {
    {
      const Within loading(phases_.load_s);
      network_.await();
    }
    const Within decoding(phases_.decode_s);
    ++phases_.masks;
    return network_.decode(embedding, prompt);
  }

  const Case& case_;
  const Pipeline& pipeline_;
  Network& network_;
  const std::size_t max_kept_;
  Labels& labels_;
  Phases& phases_;
  std::vector<Chain> chains_;
  // MedficientSAM's cache as published: which slices it holds, the latest used last, and the one embedding in it.
  std::list<std::size_t> cached_;
  Embedding latest_;
};

}  // namespace

void segment(const Case& of, const Pipeline& pipeline, Network& network, std::size_t kept, Labels& labels,
             Phases& phases) {
  Segmenter segmenter(of, pipeline, network, kept, labels, phases);
  of.volume ? segmenter.volume() : segmenter.image();
}
