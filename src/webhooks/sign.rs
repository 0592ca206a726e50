//! The signature of a message, by the scheme of <https://www.standardwebhooks.com> (version 1): HMAC-SHA256
//! over `id.timestamp.body`, with a secret that is written as `whsec_` and base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// Of a secret that we make, in bytes. The scheme asks for 24 to 64.
const LENGTH: usize = 32;

/// The secret is not written as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no secret that signs: give one written as whsec_ and 24 to 64 bytes in base64")]
pub struct NoSecret;

/// A new secret.
pub fn secret() -> SecretString {
    let bytes: [u8; LENGTH] = rand::rng().random();
    SecretString::from(format!("{PREFIX}{}", BASE64.encode(bytes)))
}

/// Refuses what is no secret.
pub fn check(secret: &SecretString) -> Result<(), NoSecret> {
    key(secret).map(|_| ())
}

fn key(secret: &SecretString) -> Result<Vec<u8>, NoSecret> {
    let text = secret.expose_secret().strip_prefix(PREFIX).ok_or(NoSecret)?;
    let key = BASE64.decode(text).map_err(|_| NoSecret)?;
    if (24..=64).contains(&key.len()) { Ok(key) } else { Err(NoSecret) }
}

/// The header `webhook-signature` of a message. `timestamp` is in seconds since 1970.
pub fn signature(
    secret: &SecretString,
    id: &str,
    timestamp: i64,
    body: &str,
) -> Result<String, NoSecret> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key(secret)?).map_err(|_| NoSecret)?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_in_the_schemes_own_example() {
        // From the test suite of github.com/standard-webhooks/standard-webhooks.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = signature(&secret, id, 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn a_new_secret_can_sign_and_a_password_cannot() {
        assert_eq!(check(&secret()), Ok(()));
        for bad in ["hunter2", "whsec_hunter2", "whsec_c2hvcnQ="] {
            assert_eq!(check(&SecretString::from(bad)), Err(NoSecret), "{bad}");
        }
    }
}
