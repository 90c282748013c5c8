// Benchmark: handshakes in memory, with the addon's own sources and without Node.js.
//
//   handshakes <policy|bypass|node|floor> <1.2|1.3> <certificates|none> <resumed|full> <number>
//
// `bypass` uses the addon's key callback but no policy. constructions.h explains the others. To
// count only the server's instructions, run callgrind with --toggle-collect=ServerStep. Prints the
// median of the CPU time that the server needs for a handshake, in nanoseconds.

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "bench/constructions.h"
#include "tls/attached_context.h"
#include "tls/ssl_state.h"
#include "tls/ticket_callbacks.h"

// callgrind finds this function by its name.
extern "C" __attribute__((noinline)) int ServerStep(SSL* ssl) { return SSL_do_handshake(ssl); }

namespace {

using ticket_keys::AttachedContext;
using ticket_keys::TicketManager;

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
template <typename T, void (*Free)(T*)>
using Owned = std::unique_ptr<T, Deleter<T, Free>>;
using OwnedContext = Owned<SSL_CTX, SSL_CTX_free>;
using OwnedSsl = Owned<SSL, SSL_free>;
using OwnedSession = Owned<SSL_SESSION, SSL_SESSION_free>;
using OwnedKey = Owned<EVP_PKEY, EVP_PKEY_free>;
using OwnedCertificate = Owned<X509, X509_free>;

void Require(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "%s\n", what);
  ERR_print_errors_fp(stderr);
  std::exit(1);
}

OwnedCertificate MakeCertificate(EVP_PKEY* key) {
  OwnedCertificate certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("bench"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_set_pubkey(certificate.get(), key);
  Require(X509_sign(certificate.get(), key, EVP_sha256()) > 0, "X509_sign");
  return certificate;
}

OwnedContext MakeContext(const SSL_METHOD* method, int version, EVP_PKEY* key, X509* certificate) {
  OwnedContext context(SSL_CTX_new(method));
  SSL_CTX_set_min_proto_version(context.get(), version);
  SSL_CTX_set_max_proto_version(context.get(), version);
  Require(SSL_CTX_use_certificate(context.get(), certificate) == 1, "certificate");
  Require(SSL_CTX_use_PrivateKey(context.get(), key) == 1, "key");
  Require(X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), certificate) == 1, "store");
  return context;
}

std::shared_ptr<TicketManager> MakeManager() {
  ticket_keys::TicketOptions options = {};
  options.ticket_lifetime = 7200e3;
  options.max_session_age = 86400e3;
  options.max_clock_skew = 3600e3;
  options.tls12_tickets = true;
  options.bind_server_name = true;
  options.session_id_context.assign(32, 7);
  options.tickets_per_handshake = 2;
  auto manager = TicketManager::Make(options);
  static uint8_t bytes[64];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = static_cast<uint8_t>(i * 37 + 1);
  const double forever = std::numeric_limits<double>::infinity();
  ticket_keys::KeyName name = {1, 2, 3, 4};
  bool changed = false;
  Require(manager->SetRing({{name, 0, forever, forever, bytes, bytes + 32, 32}}, {}, &changed) ==
              nullptr,
          "SetRing");
  return manager;
}

OwnedSession received;

int OnSession(SSL*, SSL_SESSION* session) {
  received.reset(session);
  return 1;
}

// The CPU time of this thread in nanoseconds.
double CpuTime() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// Makes one connection in memory. The client keeps the newest ticket. Returns whether the
// connection resumed. Adds the server's CPU time to `measured`, unless that is nullptr.
bool Connect(SSL_CTX* server_context, SSL_CTX* client_context, SSL_SESSION* session,
             double* measured) {
  OwnedSsl server(SSL_new(server_context));
  OwnedSsl client(SSL_new(client_context));
  BIO* server_side = nullptr;
  BIO* client_side = nullptr;
  Require(BIO_new_bio_pair(&server_side, 0, &client_side, 0) == 1, "BIO_new_bio_pair");
  SSL_set_bio(server.get(), server_side, server_side);
  SSL_set_bio(client.get(), client_side, client_side);
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(client.get());
  SSL_set_tlsext_host_name(client.get(), "bench.test");
  if (session != nullptr) SSL_set_session(client.get(), session);
  int server_done = 0;
  int client_done = 0;
  for (int step = 0; step < 20 && (server_done != 1 || client_done != 1); step++) {
    if (client_done != 1) client_done = SSL_do_handshake(client.get());
    if (server_done == 1) continue;
    const double start = CpuTime();
    server_done = measured != nullptr ? ServerStep(server.get()) : SSL_do_handshake(server.get());
    if (measured != nullptr) *measured += CpuTime() - start;
  }
  Require(server_done == 1 && client_done == 1, "handshake");
  char byte;
  SSL_read(client.get(), &byte, 1);
  // SSL_free() makes a session unusable if its connection was not shut down.
  SSL_set_shutdown(client.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  return SSL_session_reused(server.get()) == 1;
}

}  // namespace

int main(int count, char** words) {
  Require(count == 6,
          "usage: handshakes <policy|bypass|node|floor> <1.2|1.3> <certificates|none> "
          "<resumed|full> <number>");
  const std::string construction = words[1];
  const int version = std::string(words[2]) == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION;
  const bool certificates = std::string(words[3]) == "certificates";
  const bool resumed = std::string(words[4]) == "resumed";
  Require(ticket_keys::InitializeHandshakes(), "ex_data");

  const OwnedKey key(EVP_EC_gen("P-256"));
  const OwnedCertificate certificate = MakeCertificate(key.get());
  const OwnedContext server =
      MakeContext(TLS_server_method(), version, key.get(), certificate.get());
  const OwnedContext client =
      MakeContext(TLS_client_method(), version, key.get(), certificate.get());
  SSL_CTX_set_session_cache_mode(server.get(), SSL_SESS_CACHE_OFF);
  if (certificates) {
    SSL_CTX_set_verify(server.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  SSL_CTX_set_session_cache_mode(client.get(),
                                 SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(client.get(), OnSession);

  const auto manager = MakeManager();
  ticket_keys::PolicyDigest digest = {};
  digest.fill(9);
  const ticket_keys::ServerSettings settings = {digest, false, {}, 1e300, nullptr};
  Require(ticket_keys::ManageTickets(
              server.get(), std::make_shared<AttachedContext>(manager, server.get(), settings)),
          "ManageTickets");
  if (construction == "node") UseNodeConstruction(server.get());
  if (construction == "floor") UseFloor(server.get());
  if (construction == "bypass") UseNoPolicy(server.get());

  // Warm up: do not measure the work that OpenSSL does once per process or in its first handshakes.
  for (int i = 0; i < 5; i++) {
    const OwnedSession offered = std::move(received);
    Connect(server.get(), client.get(), offered.get(), nullptr);
    if (version == TLS1_2_VERSION && received == nullptr) {
      SSL_SESSION_up_ref(offered.get());
      received.reset(offered.get());
    }
  }
  std::vector<double> times(static_cast<size_t>(std::max(std::atoi(words[5]), 1)));
  for (double& time : times) {
    SSL_SESSION_up_ref(received.get());
    const OwnedSession offered(received.get());
    const bool reused =
        Connect(server.get(), client.get(), resumed ? offered.get() : nullptr, &time);
    Require(reused == resumed, resumed ? "not resumed" : "resumed");
  }
  std::sort(times.begin(), times.end());
  std::printf("%.0f\n", times[times.size() / 2]);
  return 0;
}
