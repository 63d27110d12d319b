export type {
  CampaignStatus,
  Gate,
  Laggard,
  Rotation,
  RotationGeneration,
  RotationRequest,
  RotationStatus,
} from './rotation.ts';
export type { RotationKind, RotationStep } from './steps.ts';
