// Resumed handshakes in memory, with the ticket policy and without it, for callgrind to count the
// server's instructions: policy_cost policy|bare 1.2|1.3 plain|mutual HANDSHAKES. It links the
// addon's own sources.
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "../attached_context.h"
#include "../handshake.h"
#include "../ticket_callbacks.h"

namespace {

using ticket_keys::AttachedContext;
using ticket_keys::TicketManager;

template <typename T, void (*Free)(T*)>
struct Freer {
  void operator()(T* object) const { Free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509, X509_free>>;
using Context = std::unique_ptr<SSL_CTX, Freer<SSL_CTX, SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, Freer<SSL, SSL_free>>;
using Session = std::unique_ptr<SSL_SESSION, Freer<SSL_SESSION, SSL_SESSION_free>>;

void Must(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "policy_cost: %s\n", what);
  std::exit(1);
}

Certificate SelfSigned(EVP_PKEY* key) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("bench"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  Must(X509_sign(certificate.get(), key, EVP_sha256()) > 0, "X509_sign");
  return certificate;
}

// What plain OpenSSL would do with the same keys: renew every TLS 1.3 ticket, and nothing else.
int BareGenerate(SSL*, void*) { return 1; }
SSL_TICKET_RETURN BareDecrypt(SSL* ssl, SSL_SESSION*, const unsigned char*, size_t,
                              SSL_TICKET_STATUS status, void*) {
  if (status != SSL_TICKET_SUCCESS) return SSL_TICKET_RETURN_IGNORE_RENEW;
  return SSL_version(ssl) == TLS1_3_VERSION ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

std::shared_ptr<TicketManager> MakeManager() {
  ticket_keys::TicketOptions options = {};
  options.ticket_lifetime = 7200e3;
  options.max_session_age = 86400e3;
  options.tls12_tickets = true;
  options.bind_server_name = true;
  options.session_id_context.assign(32, 7);
  options.tickets_per_handshake = 2;
  auto manager = TicketManager::Make(options);
  uint8_t aes_key[32], hmac_key[32];
  for (int i = 0; i < 32; i++) {
    aes_key[i] = static_cast<uint8_t>(i * 7 + 1);
    hmac_key[i] = static_cast<uint8_t>(i * 11 + 3);
  }
  ticket_keys::KeyName missing;
  Must(manager->SetRing({{{1, 2, 3}, 0, 1e15, 1e15, aes_key, hmac_key, 32}}, {}, &missing), "ring");
  return manager;
}

int KeepSession(SSL* ssl, SSL_SESSION* session) {
  auto* kept = static_cast<Session*>(SSL_get_app_data(ssl));
  // A copy: OpenSSL's client marks the session of a TLS 1.3 connection as used.
  kept->reset(SSL_SESSION_dup(session));
  return 0;
}

}  // namespace

// What callgrind collects: everything that the server does. Not inlined, so that it has a name.
extern "C" __attribute__((noinline)) int ServerStep(SSL* ssl) {
  if (!SSL_is_init_finished(ssl)) return SSL_do_handshake(ssl);
  char byte = 0;
  return SSL_read(ssl, &byte, 1) == 1 ? SSL_write(ssl, &byte, 1) : 0;
}

namespace {

// One connection to its end: handshake, a byte there and back, so that tickets have arrived.
// Returns whether it resumed.
bool Connect(SSL_CTX* server_context, SSL_CTX* client_context, Session* session) {
  Connection server(SSL_new(server_context)), client(SSL_new(client_context));
  BIO *server_bio = nullptr, *client_bio = nullptr;
  Must(BIO_new_bio_pair(&server_bio, 1 << 16, &client_bio, 1 << 16) == 1, "BIO pair");
  SSL_set_bio(server.get(), server_bio, server_bio);
  SSL_set_bio(client.get(), client_bio, client_bio);
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(client.get());
  SSL_set_tlsext_host_name(client.get(), "www.example.org");
  SSL_set_app_data(client.get(), session);
  if (*session != nullptr) SSL_set_session(client.get(), session->get());
  bool sent = false;
  char byte = 'x';
  for (int i = 0; i < 20; i++) {
    if (!SSL_is_init_finished(client.get())) {
      SSL_do_handshake(client.get());
    } else if (!sent) {
      sent = SSL_write(client.get(), &byte, 1) == 1;
    } else if (SSL_read(client.get(), &byte, 1) == 1) {
      // Without it OpenSSL's client thinks that the session was broken off, and must not resume it.
      SSL_set_shutdown(client.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
      return SSL_session_reused(server.get()) == 1;
    }
    ServerStep(server.get());
  }
  Must(false, "the handshake did not finish");
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Must(argc == 5, "policy|bare 1.2|1.3 plain|mutual HANDSHAKES");
  const bool policy = std::strcmp(argv[1], "policy") == 0;
  const int version = std::strcmp(argv[2], "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
  const bool mutual = std::strcmp(argv[3], "mutual") == 0;

  Must(ticket_keys::InitializeHandshakes(), "ex_data");
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate = SelfSigned(key.get());
  const Context server(SSL_CTX_new(TLS_server_method())), client(SSL_CTX_new(TLS_client_method()));
  for (SSL_CTX* context : {server.get(), client.get()}) {
    SSL_CTX_use_certificate(context, certificate.get());
    SSL_CTX_use_PrivateKey(context, key.get());
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
  }
  if (mutual) {
    SSL_CTX_set_verify(server.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(server.get()), certificate.get());
  }
  SSL_CTX_set_session_cache_mode(client.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(client.get(), KeepSession);

  auto attached = AttachedContext::Make(MakeManager(), server.get(), nullptr, {},
                                        ticket_keys::PolicyDigest{}, false);
  Must(ticket_keys::ManageTickets(server.get(), attached), "callbacks");
  if (!policy) SSL_CTX_set_session_ticket_cb(server.get(), BareGenerate, BareDecrypt, nullptr);

  Session session;
  Must(!Connect(server.get(), client.get(), &session), "the first handshake must be full");
  for (int left = std::atoi(argv[4]); left > 0; left--) {
    Must(Connect(server.get(), client.get(), &session), "not resumed");
  }
  return 0;
}
