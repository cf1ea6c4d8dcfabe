// Checkpoints for a loop of one's own, without a trainer and without LibTorch: saved, killed, resumed to the last bit.
// expect: stopped after update 57
// expect: resumed at update 50
// expect: the same to the last bit
// expect: checkpoint-0000000100 is skipped
// expect: checkpoint-0000000090 is used in its place
// expect: missing in the file: counters.rejected

#include <tacit/state/async_writer.hpp>
#include <tacit/state/state.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

// [part]
struct Line {
  static constexpr std::string_view state_name = "line";
  double slope = 0.0;
  double offset = 0.0;
  std::vector<double> momentum = {0.0, 0.0};

  static void visit_state(auto& self, auto&& visit) {
    visit("slope", self.slope);
    visit("offset", self.offset);
    visit("momentum", self.momentum);
  }
};
// [/part]

// [progress]
struct Progress {
  static constexpr std::string_view state_name = "progress";
  std::int64_t update = 0;
  std::string random_state{};

  static void visit_state(auto& self, auto&& visit) {
    visit("update", self.update);
    visit("random_state", self.random_state);
  }
};
// [/progress]

std::string text_of(std::mt19937 const& random) {
  std::ostringstream stream;
  stream << random;
  return stream.str();
}

double step(Line& line, std::mt19937& random) {
  double const x = static_cast<double>(random()) / 4294967296.0;
  double const error = line.slope * x + line.offset - (3.0 * x - 1.0);
  line.momentum[0] = 0.9 * line.momentum[0] + error * x;
  line.momentum[1] = 0.9 * line.momentum[1] + error;
  line.slope -= 0.05 * line.momentum[0];
  line.offset -= 0.05 * line.momentum[1];
  return error * error;
}

// [loop]
Line train(std::filesystem::path const& directory, std::int64_t updates, std::int64_t killed_after) {
  Line line;
  Progress progress;
  std::mt19937 random{42};

  tacit::CheckpointWriter writer{directory, {.last = 3}};
  if (auto const found = tacit::find_newest_checkpoint(directory)) {
    std::cout << found->note();  // says which were skipped, and why
    tacit::load_state(found->checkpoint, {}, line, progress);
    std::istringstream{progress.random_state} >> random;
    std::cout << "resumed at update " << progress.update << "\n";
  }
  while (progress.update < updates) {
    double const loss = step(line, random);
    ++progress.update;
    if (progress.update % 10 == 0) {
      progress.random_state = text_of(random);
      tacit::save_state(writer, progress.update, loss, line, progress);
    }
    if (progress.update == killed_after) {
      std::cout << "stopped after update " << progress.update << "\n";
      break;
    }
  }
  return line;
}
// [/loop]

// [changed]
struct Counters {
  static constexpr std::string_view state_name = "counters";
  static constexpr int state_version = 2;
  std::int64_t accepted = 0;
  std::int64_t rejected = 0;

  static void visit_state(auto& self, auto&& visit) {
    visit("accepted", self.accepted);
    visit("rejected", self.rejected);
  }
  static void migrate_state(std::uint64_t from, tacit::StateMembers& members) {
    if (from == 1) members.rename("count", "accepted");
  }
};
// [/changed]

struct OldCounters {
  static constexpr std::string_view state_name = "counters";
  std::int64_t count = 4;
  static void visit_state(auto& self, auto&& visit) { visit("count", self.count); }
};

int main() {
  std::filesystem::remove_all("checkpoints");
  train("checkpoints/killed", 100, 57);
  Line const resumed = train("checkpoints/killed", 100, -1);
  Line const whole = train("checkpoints/whole", 100, -1);
  bool const same = resumed.slope == whole.slope && resumed.offset == whole.offset && resumed.momentum == whole.momentum;
  std::cout << (same ? "the same to the last bit\n" : "not the same\n");

  // A flipped byte in the newest checkpoint.
  std::fstream{"checkpoints/whole/checkpoint-0000000100/state.json", std::ios::in | std::ios::out | std::ios::binary} << 'x';
  train("checkpoints/whole", 90, -1);

  {
    tacit::CheckpointWriter writer{"checkpoints/counters"};
    tacit::save_state(writer, 1, {}, OldCounters{});
  }
  // [allow]
  Counters counters;
  tacit::Checkpoint const checkpoint{"checkpoints/counters/checkpoint-0000000001"};
  try {
    tacit::load_state(checkpoint, {}, counters);
  } catch (tacit::StateError const& error) {
    std::cout << error.what() << "\n";
  }
  tacit::load_state(checkpoint, {.allow_added = {"counters.rejected"}}, counters);
  // [/allow]

  // [async]
  tacit::CheckpointWriter writer{"checkpoints/async"};
  tacit::AsyncCheckpointWriter background{writer};
  background.save(10, {}, resumed);  // returns when the parts are copied
  background.check();                // throws if a save has failed
  background.finish();               // waits for the save in flight
  // [/async]
  return same && counters.accepted == 4 ? 0 : 1;
}
