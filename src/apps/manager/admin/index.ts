export type { Administration, AgentChange, Order } from './administration.ts';
export { AdministrationError } from './administration-error.ts';
export { type AdminHttps, type AdminService, startAdminService } from './admin-service.ts';
