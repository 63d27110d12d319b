export { createRotation, type RotationOptions } from './create-rotation.ts';
export type {
  CampaignStatus,
  Gate,
  Laggard,
  Rotation,
  RotationGeneration,
  RotationRequest,
  RotationStatus,
} from './rotation.ts';
export { defaultRotationSettings, type RotationSettings } from './settings.ts';
export type { RotationKind, RotationStep } from './steps.ts';
