import type { ExtensionCodec } from './extension-table.ts';

/** {@link https://www.rfc-editor.org/rfc/rfc6066#section-8 | RFC 6066 §8}. */
export interface CertificateStatusRequest {
  /** ocsp(1), or a type we do not know, of which the other fields are empty. */
  readonly statusType: number;
  /** The vectors' contents, not looked at further. */
  readonly responderIdList: Uint8Array;
  readonly requestExtensions: Uint8Array;
}

/** What our client sends: any responder, no extensions. */
export const ocspStatusRequest: CertificateStatusRequest = {
  statusType: 1,
  responderIdList: new Uint8Array(0),
  requestExtensions: new Uint8Array(0),
};

// struct {
//   CertificateStatusType status_type;
//   select (status_type) { case ocsp: OCSPStatusRequest; } request;
// } CertificateStatusRequest;
//
// struct {
//   ResponderID responder_id_list<0..2^16-1>;
//   Extensions request_extensions;              opaque <0..2^16-1>
// } OCSPStatusRequest;

/** The ClientHello's. An unknown status type is a wish we need not understand. */
export const statusRequest: ExtensionCodec<CertificateStatusRequest> = {
  parse(body) {
    const statusType = body.u8();
    if (statusType !== ocspStatusRequest.statusType) {
      body.rest();
      return { ...ocspStatusRequest, statusType };
    }
    const responderIdList = body.vec16().rest();
    return { statusType, responderIdList, requestExtensions: body.vec16().rest() };
  },
  encode(writer, { statusType, responderIdList, requestExtensions }) {
    writer.u8(statusType).vec16(responderIdList).vec16(requestExtensions);
  },
};
