// Package auth is the service that turns a phone number into a session: codes by SMS, login,
// registration, refresh and logout.
//
// Two flows lead to a session. The mobile apps call /request-code and /verify, which logs in or creates
// the account. The web client calls /request-code, /verify-code, then /login, and /register when there is
// no account: /verify-code leaves a grant for phone and client address, which /login and /register use
// up. A 404 of /login leaves it in place.
//
// Decisions.
//
// The 60 seconds between two codes for a phone are kept in silence: the reply is that of a code that was
// sent, since the one before is still good. A send that failed does not count. With --dev there is no
// such gap, so that every reply has its code.
//
// A code may be asked for 10 times an hour and 30 times a day for a phone, and tried 3 times: at most 90
// guesses of a million a day, however many addresses guess.
//
// A person who gives no name is stored without one and shown by phone number only to those who may see
// it; the original stored the number as the name, which strangers read.
//
// The access token of /verify lives as long as its session, since the mobile apps never refresh.
package auth
