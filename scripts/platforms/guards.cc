// Tests native/portable/cxx_runtime.cc. Many threads call a function for the first time at the same
// time. The static variable of the function must be initialized exactly once, and no thread may
// read it earlier.
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

namespace {

constexpr int kThreads = 16;
constexpr int kFunctions = 40;

pthread_barrier_t barrier;
int initialized = 0;

struct Slow {
  Slow() {
    usleep(2000);
    __atomic_add_fetch(&initialized, 1, __ATOMIC_RELAXED);
    value = 42;
  }
  int value;
};

template <int kFunction>
void* Call(void*) {
  pthread_barrier_wait(&barrier);
  static Slow slow;
  return slow.value == 42 ? &barrier : nullptr;
}

template <int kFunction>
int CountCorrect() {
  if constexpr (kFunction == kFunctions) {
    return 0;
  } else {
    pthread_t threads[kThreads];
    for (pthread_t& thread : threads) pthread_create(&thread, nullptr, Call<kFunction>, nullptr);
    int correct = 0;
    for (pthread_t& thread : threads) {
      void* result;
      pthread_join(thread, &result);
      correct += result == nullptr ? 0 : 1;
    }
    return correct + CountCorrect<kFunction + 1>();
  }
}

}  // namespace

int main() {
  pthread_barrier_init(&barrier, nullptr, kThreads);
  const int correct = CountCorrect<0>();
  printf("%d calls of %d saw the value, %d initializations of %d\n", correct, kThreads * kFunctions, initialized, kFunctions);
  return correct == kThreads * kFunctions && initialized == kFunctions ? 0 : 1;
}
