//! Result codes up to 0: success, the plugin bridge, vendor push and the access server.
//!
//! Owns:  these rows, in rising order of code.
//! Never: decides anything; `codes` searches them.

use super::Class::{
    Auth, Ok, PermanentContent, PermanentRequest, RateLimited, TransientNetwork, TransientServer, Unknown,
};
use super::{ResultCode, row};

/// One row a line, so that the table reads as a table.
#[rustfmt::skip]
pub(super) static ROWS: &[ResultCode] = &[
    row(-20_009, RateLimited, "ERR_SVR_SSO_FREQUENCY_LIMIT", "client calls interfaces too often"),
    row(-10_114, TransientServer, "ERR_SVR_SSO_OVERLOAD", "server overloaded and dropping packets"),
    row(-10_113, RateLimited, "ERR_SVR_SSO_FREQ_LIMIT", "user sent more requests a second than this protocol allows"),
    row(-10_112, Auth, "ERR_SVR_SSO_APPID_WITHOUT_USING", "SDKAppID has been taken out of service"),
    row(-10_111, Auth, "ERR_SVR_SSO_CMD_BLACK_LIST", "this command is blocked for the SDKAppID"),
    row(-10_110, Auth, "ERR_SVR_SSO_APPID_BLACK_LIST", "SDKAppID is on a block list"),
    row(-10_109, PermanentRequest, "ERR_SVR_SSO_PACKET_WRONG", "request packet malformed"),
    row(-10_108, Auth, "ERR_SVR_SSO_PREPAID_ARREARS", "prepaid account is in arrears"),
    row(-10_107, TransientNetwork, "ERR_SVR_SSO_UNSURPPORT", "server does not take aggregated packets on this connection"),
    row(-10_106, Auth, "ERR_SVR_SSO_D2KEY_WRONG", "too many failed decryptions, key must be renewed by logging in"),
    row(-10_105, TransientNetwork, "ERR_SVR_SSO_MSFSDK_QUIT", "transport service ended by itself"),
    row(-10_104, Auth, "ERR_SVR_SSO_CLIENT_CLOSE", "client ended by itself"),
    row(-10_103, Auth, "ERR_SVR_SSO_IDENTIFIER_INVALID", "identity no longer valid"),
    row(-10_102, TransientNetwork, "ERR_SVR_SSO_DISCONNECT", "access layer dropped the connection"),
    row(-10_101, Auth, "ERR_SVR_SSO_DOWN_TIP", "key expired while sending a notice down, log in again"),
    row(-10_009, Auth, "ERR_SVR_SSO_COOKIE_INVALID", "session cookie does not match"),
    row(-10_008, Auth, "ERR_SVR_SSO_NO_IMEI_AND_A2", "key and ticket must both be present"),
    row(-10_007, Auth, "ERR_SVR_SSO_VCODE_TIMEOUT", "handing out a verification code timed out"),
    row(-10_006, Auth, "ERR_SVR_SSO_UIN_INVALID", "account inside the key differs from the account in the packet header"),
    row(-10_005, Auth, "ERR_SVR_SSO_EMPTY_KEY", "empty session key is not allowed"),
    row(-10_004, Auth, "ERR_SVR_SSO_A2_DOWN_INVALID", "session ticket did not verify or was blocked for security, log in again"),
    row(-10_003, Auth, "ERR_SVR_SSO_A2_UP_INVALID", "session ticket derived from UserSig has expired, log in again"),
    row(-10_001, Auth, "ERR_SVR_SSO_D2_EXPIRED", "session key derived from UserSig has expired, log in again"),
    row(-10_000, Auth, "ERR_SVR_SSO_VCODE", "access server asks for a verification code, flag wrong"),
    row(-302, TransientServer, "ERR_SVR_SSO_CONNECT_LIMIT", "access server has too many connections and refuses service"),
    row(-203, Unknown, "PUSH_HUAWEI_DAILY", "vendor push: Huawei daily quota used up"),
    row(-202, Unknown, "PUSH_BUILD", "vendor push: object could not be built before pushing"),
    row(-201, Unknown, "PUSH_VALIDATION", "vendor push: token or certificate id did not validate"),
    row(-200, Unknown, "PUSH_BACKEND_NETWORK", "vendor push: IM backend network trouble"),
    row(-199, Unknown, "PUSH_VENDOR_NETWORK", "vendor push: vendor network trouble"),
    row(-198, Unknown, "PUSH_VENDOR_RESPONSE", "vendor push: vendor answered with an error"),
    row(-197, Unknown, "PUSH_CERT", "vendor push: certificate problem"),
    row(-196, Unknown, "PUSH_NO_INTENT", "vendor push: intent mode chosen but no intent given"),
    row(-195, Unknown, "PUSH_GOOGLE_BUILD", "vendor push: Google push object could not be built (certificate)"),
    row(-5, PermanentContent, "PLUGIN_FILE_PATH_MISSING", "Flutter create call was given an empty file path"),
    row(-3, PermanentRequest, "PLUGIN_FIND_MISMATCH", "Android bridge: lookup by msgID returned the wrong number of messages or a different id"),
    row(-1, PermanentRequest, "PLUGIN_GENERIC", "the Flutter or React Native bridge failed; for reSendMessage: no local message has that msgID, or (Windows) there is no such call"),
    row(0, Ok, "ERR_SUCC", "no error"),
];
