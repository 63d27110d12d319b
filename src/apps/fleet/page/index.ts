export { agentPage, type AgentView } from './agent-page.ts';
export { fleetPage, type FleetView } from './fleet-page.ts';
export { pageHeaders } from './layout.ts';
export { style } from './style.ts';
