export { type AuthorityHttpOptions, type HttpLimits, startAuthorityHttp } from './http-server.ts';
export { distributionAt, paths } from './urls.ts';
