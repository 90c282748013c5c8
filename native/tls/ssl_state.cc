#include "tls/ssl_state.h"

#include <new>
#include <utility>

namespace ticket_keys {
namespace {

int handshake_index = -1;
int context_index = -1;

thread_local bool capturing = false;
thread_local SSL* captured = nullptr;
thread_local SSL* finishing = nullptr;

using ContextHolder = std::shared_ptr<AttachedContext>;

void OnNewSsl(void* ssl, void*, CRYPTO_EX_DATA*, int, long,
              void*) {  // NOLINT(runtime/int): OpenSSL's type
  if (capturing) captured = static_cast<SSL*>(ssl);
}

void OnFreeSsl(void*, void* handshake, CRYPTO_EX_DATA*, int, long, void*) {  // NOLINT(runtime/int)
  delete static_cast<Handshake*>(handshake);
}

void OnFreeContext(void*, void* holder, CRYPTO_EX_DATA*, int, long, void*) {  // NOLINT(runtime/int)
  delete static_cast<ContextHolder*>(holder);
}

// A copy by SSL_dup starts without our data. Two owners would both free it.
int OnDuplicate(CRYPTO_EX_DATA*, const CRYPTO_EX_DATA*, void** from, int, long,
                void*) {  // NOLINT(runtime/int)
  *from = nullptr;
  return 1;
}

void OnInfo(const SSL* ssl, int where, int value) {
  Handshake* handshake = Handshake::Find(ssl);
  const Handshake::InfoCallback next = handshake->next_info_callback;
  if ((where & SSL_CB_HANDSHAKE_DONE) == 0) {
    if (next != nullptr) next(ssl, where, value);
    return;
  }
  handshake->next_info_callback = nullptr;
  SSL_set_info_callback(const_cast<SSL*>(ssl), next);
  // After a HelloRetryRequest, the client can offer only an external PSK: the ticket of the first
  // ClientHello was then accepted, but not used. The session of an external PSK has no application
  // data.
  void* bytes = nullptr;
  size_t length = 0;
  handshake->accepted =
      handshake->accepted &&
      SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &bytes, &length) == 1 && length != 0;
  SSL* const outer = std::exchange(finishing, const_cast<SSL*>(ssl));
  // Node.js emits 'secure', and with it 'secureConnection', before this call returns.
  if (next != nullptr) next(ssl, where, value);
  finishing = outer;
}

}  // namespace

bool InitializeHandshakes() {
  static const bool made = [] {
    handshake_index =
        CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nullptr, OnNewSsl, OnDuplicate, OnFreeSsl);
    context_index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, nullptr, nullptr,
                                            OnDuplicate, OnFreeContext);
    return handshake_index >= 0 && context_index >= 0;
  }();
  return made;
}

Handshake* Handshake::Find(const SSL* ssl) {
  return static_cast<Handshake*>(SSL_get_ex_data(ssl, handshake_index));
}

Handshake* Handshake::Of(SSL* ssl, AttachedContext* context) {
  Handshake* found = Find(ssl);
  if (found != nullptr) return found;
  if (context == nullptr) context = GetAttached(SSL_get_SSL_CTX(ssl));
  if (context == nullptr) return nullptr;
  // Without memory, the handshake continues without a ticket.
  std::unique_ptr<Handshake> made(new (std::nothrow) Handshake(context->shared_from_this()));
  if (made == nullptr || SSL_set_ex_data(ssl, handshake_index, made.get()) != 1) return nullptr;
  return made.release();
}

void Handshake::WatchForEnd(SSL* ssl) {
  const InfoCallback present = SSL_get_info_callback(ssl);
  if (present == OnInfo) return;
  next_info_callback = present;
  SSL_set_info_callback(ssl, OnInfo);
}

Handshake* Handshake::Finishing(SSL** ssl) {
  if (ssl != nullptr) *ssl = finishing;
  return finishing == nullptr ? nullptr : Find(finishing);
}

Handshake::~Handshake() {
  if (kept_ != nullptr) kept_->Disconnect();
}

std::shared_ptr<KeptData> Handshake::Kept(SSL* ssl) {
  if (kept_ == nullptr && accepted) {
    if (ticket_data.has_value()) kept_ = std::make_shared<KeptData>(ticket_data);
  } else if (kept_ == nullptr && context->ask_session_data != nullptr) {
    kept_ = std::make_shared<KeptData>(ssl);
  }
  return kept_;
}

bool KeptData::Ask() {
  if (state_ != State::kNotAsked || ssl_ == nullptr) return state_ != State::kFailed;
  // The application's function may itself read `tlsSession.data`.
  state_ = State::kKnown;
  SSL* const ssl = ssl_;
  std::optional<SessionData> data;
  const bool done = Handshake::Find(ssl)->context->ask_session_data(ssl, &data);
  state_ = done ? State::kKnown : State::kFailed;
  data_ = data;
  return done;
}

void StartCapture() {
  capturing = true;
  captured = nullptr;
}

SSL* EndCapture() {
  capturing = false;
  return std::exchange(captured, nullptr);
}

bool SetAttached(SSL_CTX* ssl_ctx, std::shared_ptr<AttachedContext> context) {
  auto* old = static_cast<ContextHolder*>(SSL_CTX_get_ex_data(ssl_ctx, context_index));
  auto holder = context == nullptr ? nullptr : std::make_unique<ContextHolder>(std::move(context));
  if (SSL_CTX_set_ex_data(ssl_ctx, context_index, holder.get()) != 1) return false;
  holder.release();
  delete old;
  return true;
}

AttachedContext* GetAttached(const SSL_CTX* ssl_ctx) {
  auto* holder = static_cast<ContextHolder*>(SSL_CTX_get_ex_data(ssl_ctx, context_index));
  return holder == nullptr ? nullptr : holder->get();
}

}  // namespace ticket_keys
