import * as der from './der-writer.ts';
import { encodeGeneralNames, GeneralNameKind } from './general-names.ts';
import { encodeExtension } from './issue-certificate.ts';
import { ExtensionOid } from './oids.ts';

/** Where the revocation state of certificates can be asked for, as absolute http URLs. */
export interface Distribution {
  readonly crlUrl?: string;
  readonly freshestCrlUrl?: string;
  readonly ocspUrl?: string;
  /** Where the issuer's certificate can be had. */
  readonly issuerUrl?: string;
}

/**
 * Extensions that say so: CRL distribution points, freshest CRL
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.13 | RFC 5280 §4.2.1.13, §4.2.1.15}) and
 * authority information access (§4.2.2.1). None for an empty distribution.
 */
export function encodeDistribution(distribution: Distribution): readonly Uint8Array[] {
  const { crlUrl, freshestCrlUrl, ocspUrl, issuerUrl } = distribution;
  const access = [
    ...(ocspUrl === undefined ? [] : [accessDescription('1.3.6.1.5.5.7.48.1', ocspUrl)]),
    ...(issuerUrl === undefined ? [] : [accessDescription('1.3.6.1.5.5.7.48.2', issuerUrl)]),
  ];
  return [
    ...(crlUrl === undefined
      ? []
      : [encodeExtension(ExtensionOid.crlDistributionPoints, false, distributionPoints(crlUrl))]),
    ...(freshestCrlUrl === undefined
      ? []
      : [encodeExtension(ExtensionOid.freshestCrl, false, distributionPoints(freshestCrlUrl))]),
    ...(access.length === 0
      ? []
      : [encodeExtension(ExtensionOid.authorityInfoAccess, false, der.sequence(...access))]),
  ];
}

/*
 * CRLDistributionPoints ::= SEQUENCE OF DistributionPoint
 * DistributionPoint ::= SEQUENCE { distributionPoint [0] DistributionPointName OPTIONAL, … }
 * DistributionPointName ::= CHOICE { fullName [0] GeneralNames, … }
 */
function distributionPoints(url: string): Uint8Array {
  const names = encodeGeneralNames({ uris: [url] });
  // fullName is IMPLICIT: the tag takes the place of that of the SEQUENCE.
  const fullName = Uint8Array.from(names);
  fullName[0] = FULL_NAME;
  return der.sequence(der.sequence(der.explicit(0, fullName)));
}

/** AccessDescription ::= SEQUENCE { accessMethod OBJECT IDENTIFIER, accessLocation GeneralName } */
function accessDescription(method: string, url: string): Uint8Array {
  return der.sequence(
    der.objectIdentifier(method),
    der.implicit(GeneralNameKind.uniformResourceIdentifier, Buffer.from(url, 'latin1')),
  );
}

const FULL_NAME = 0xa0;
